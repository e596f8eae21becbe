// What the C core does for Python.  Both the compiler and cffi read this file
// as it stands, so it keeps to what both understand: no #include, no guard.
//
// A function that can fail returns a negated errno.  Python decides what a stop
// means, because there it can be read and overridden.

// ---- the stub's page and the processes that live in it ----

// The stub's code, and the places in it that have a meaning.
extern const unsigned char stub_begin[];
extern const unsigned char stub_end[];
extern const unsigned char stub_entry[];	// the leader's first instruction, a breakpoint
extern const unsigned char stub_call[];		// the system call instruction for injected calls
extern const unsigned char stub_park[];		// where untraced threads wait; behind stub_call's instruction
extern const unsigned char stub_parked[];	// behind the system call instruction of those threads
extern const unsigned char stub_bases[];	// sets the segment bases, then the flags
extern const unsigned char stub_flags[];	// sets the flags
extern const unsigned char stub_words[];	// the flags that can be set there: without and with ID

// Copy the stub to a page at `address`, which must be free, and make it executable.
int stub_install(unsigned long address, unsigned long length);

// Unmap the stub's page.
int stub_remove(unsigned long address, unsigned long length);

// The end of user addresses, by trial: 2^47 - 4096, or 2^56 - 4096 with five-level paging.
unsigned long task_size(void);

// One system call that a forked child makes on its way into the stub.
struct step {
	long number;
	unsigned long arguments[6];
	int checked;	// its result must be `expected`
	long expected;
};

// Where the child reports how far it came; in shared memory.
struct boot {
	int step;	// the step under way
	long result;	// what it returned
};

// Fork a child with the clone(2) flags `flags` that takes the steps and jumps
// to `entry`.  A step whose result is not the expected one ends the child
// with status 1.  Returns the child's pid.
int stub_fork(unsigned long flags, const struct step *steps, int count, struct boot *boot, unsigned long entry);

// ---- tracees ----

// The kernel's user_regs_struct.
struct registers {
	unsigned long r15, r14, r13, r12, rbp, rbx, r11, r10, r9, r8, rax, rcx, rdx, rsi, rdi;
	unsigned long orig_rax, rip, cs, eflags, rsp, ss, fs_base, gs_base, ds, es, fs, gs;
};

enum tracee_state {
	TRACEE_PARKED,	// untraced, waiting in the stub; any thread may claim it
	TRACEE_CLAIMED,	// untraced or half attached; one thread is attaching it
	TRACEE_OWNED,	// traced by the thread `owner`
	TRACEE_LOST,	// dead, or no thread may use it any more
};

enum placement { PLACEMENT_FREE, PLACEMENT_FOLLOW, PLACEMENT_PIN };

// How far attaching to a tracee has come.
enum stopping {
	STOP_SEEN,	// it stands in a stop, or has stood in one since it was attached
	STOP_NOT_ASKED,	// PTRACE_SEIZE succeeded
	STOP_ASKED,	// PTRACE_INTERRUPT was sent; the stop was not seen yet
};

struct admission;

// One thread of a stub.
struct tracee {
	int tgid;
	int tid;
	int state;			// enum tracee_state; changed atomically
	int owner;			// the tracing thread's id while owned
	int refs;			// 1: Python's or its owner's list's; 2: both; the last to drop it frees it
	int placement;
	int cpu;			// the CPU it is bound to, or -1
	unsigned long affinity[128];	// where it could run before that
	int xstate_length;		// bytes of extended state that the kernel transfers
	unsigned long thread;		// the pthread_self of the thread that claimed or owns it
	int stopping;			// enum stopping
	struct admission *admission;	// the one that may switch it; compared by address, never dereferenced
	void *resident;			// where the extended state goes when the thread is parked, or NULL
	unsigned long park;		// stub_park in the stub's page
	unsigned long stops;		// how many of its stops its tracers have seen
	int preparing;			// it runs the stub's code to set what PTRACE_SETREGS does not
	int shadow_valid;
	struct registers shadow;	// what the thread's registers are now, or were when they were last read
	struct registers segments;	// what no guest sets: the segment registers, and orig_rax
	struct tracee *next;		// in its owner's list
};

struct tracee *tracee_new(int tgid, int tid);

// Drop Python's reference.
void tracee_drop(struct tracee *t);

// Reserve a parked tracee for this thread to attach.  Returns 1, or 0 if it is not parked.
int tracee_claim(struct tracee *t);

// Trace a claimed tracee from this thread, and wait until it stands in a stop:
// `status` is its wait status, or 0 if it stood already.  After -EINTR or another
// error, the same thread may call it again.
int tracee_attach(struct tracee *t, unsigned long options, int *status);

// Have this thread's tracees parked when the thread ends.  Returns -EAGAIN if
// the process has no pthread key left, -ENOMEM if the thread cannot set it.
int tracee_watch_end(void);

// Put a tracee that this thread attached on the thread's list: it is parked
// again when the thread ends.  Fails as tracee_watch_end does.
int tracee_own(struct tracee *t);

// Mark its process as dead: every later switch fails with ESRCH.
void tracee_lose(struct tracee *t);

// Send the thread back to the stub's waiting place, all signals blocked and
// nothing of the guest in its registers, and let go of it.  Only its owner can;
// if it fails, the thread is killed.
int tracee_park(struct tracee *t);

// How many tracees this thread owns.
int tracees_owned(void);

// One ptrace request.  Returns what ptrace returns, or a negated errno.
long tracee_request(int request, int tid, unsigned long address, void *data);

// One wait4.  Returns the tid, 0 where WNOHANG found nothing, or a negated errno.
int tracee_wait(int tid, int options, int *status);

// Wait until a tracee of this thread stops.  Returns the tid or a negated errno.
int tracee_await(struct tracee *t, int *status);

// Bind it to this thread's CPU, if its placement says so; before it is resumed.
void tracee_place(struct tracee *t);

// Read the extended state, exactly `xstate_length` bytes; -EIO if the kernel has less.
int tracee_read_xstate(struct tracee *t, void *buffer);

// What a switch returns.  The usual results are the lowest, so that one
// comparison finds them.
enum {
	// A smaller value: the number of a system call that was made by the 64-bit
	// instruction from the 64-bit segment.
	SWITCH_SYSCALLS = 1024,
	// The same with any other number.
	SWITCH_UNUSUAL_SYSCALL = SWITCH_SYSCALLS,
	// Nothing was done: another thread owns the tracee, or it has admitted another context.
	SWITCH_REFUSED,
	// This plus an errno: the guest did not run, or with EINTR runs still.
	SWITCH_ERROR = 0x20000000,
	// This plus an errno: the guest ran, and where it is now could not be read.
	SWITCH_UNREAD = 0x30000000,
	// This plus a wait status.
	SWITCH_STOP = 0x40000000,
};

// A context's side of a switch.
struct admission {
	struct tracee *tracee;		// the thread that runs the guest
	struct registers *registers;	// the guest's: loaded before it runs, read after
	void *xset;			// extended state to load, or NULL; NULL once it is loaded
	void *xget;			// where the extended state is read to at each stop; NULL if it is resident
	int run;			// the request that resumes
	int step;			// the request with the trap flag set
	int result;			// what the last tracee_switch, tracee_collect or tracee_halt found
	int failed;			// after SWITCH_ERROR or SWITCH_UNREAD, the request that failed, or -1 for a wait
	long about_length;		// of `about`, or a negated errno
	unsigned char about[128];	// of a signal stop, its siginfo_t; of an unusual system call, its ptrace_syscall_info
};

// Let `admission`, and no other, switch the tracee; NULL: none.
void tracee_admit(struct tracee *t, struct admission *admission);

// Load the registers, resume, then collect, if the tracee stops soon.  Returns as described above.
int tracee_switch(struct admission *admission);

// Wait for the stop and read the registers.  After SWITCH_ERROR + EINTR the
// tracee still runs and has to be collected again.
int tracee_collect(struct admission *admission);

// After SWITCH_ERROR + EINTR, stop the tracee and collect it; again if that is
// still the result.  Returns SWITCH_REFUSED, with the result as it was, on a
// thread that does not trace it.
int tracee_halt(struct admission *admission);

// ---- the flight recorder ----

// Which registers an event of the flight recorder has.
enum flight_registers { FLIGHT_NO_REGISTERS, FLIGHT_ALL_REGISTERS, FLIGHT_RESULT_REGISTER };

// A ptrace request and its result, or (request -1) a wait and the status that it
// found.  worldswitch.harness.flight defines the layout and reads it.
struct flight_event {
	unsigned long number;		// its place among all, from 1; with FLIGHT_WRITING while it is written
	unsigned long nanoseconds;	// CLOCK_MONOTONIC
	int tracer;
	int tid;
	int request;
	short has_registers;		// enum flight_registers
	short has_about;
	long result;
	struct registers registers;
	unsigned char about[48];	// the beginning of a siginfo_t or ptrace_syscall_info
};

// The last `capacity` events of all threads.
struct flight_ring {
	unsigned long event_size;
	unsigned long capacity;	// 0: nothing is noted now
	unsigned long noted;	// the number of events so far
	unsigned long unused[5];
	struct flight_event events[];
};

// Record there from now on, or nowhere if NULL.  Returns -EINVAL if its events have another size.
int flight_record(struct flight_ring *ring);

// ---- the process that holds the platform ----

// Have the kernel forget this thread's restartable-sequence area, so that no
// child inherits it.  Returns the length it was registered with, 0 if it was
// not registered, or a negated errno.
int rseq_unregister(void);

// The CPU this thread runs on.
int current_cpu(void);

// Send a signal to one thread; 0 only asks whether there is one.
int signal_thread(int tgid, int tid, int signal);

// Set SA_NOCLDSTOP on the action for SIGCHLD, whatever it is: without it each
// stop of a tracee would run the handler.
int sigchld_ignore_stops(void);

// Remove SA_NOCLDSTOP, if sigchld_ignore_stops set it and the action is the same still.
int sigchld_heed_stops(void);
