// The least that a switch can cost, measured by C loops that do nothing else, and guests for platforms to switch into.
// Both the compiler and cffi read this file as it stands.

// ---- guests: position independent, no stack, no end ----

// Makes the system call getpid for ever.
extern const unsigned char guest_getpid_begin[];
extern const unsigned char guest_getpid_end[];

// Reads the word at rbx for ever.
extern const unsigned char guest_read_begin[];
extern const unsigned char guest_read_end[];

// Computes for ever.
extern const unsigned char guest_spin_begin[];
extern const unsigned char guest_spin_end[];

// ---- loops round a child of this thread's; each returns nanoseconds for `count` rounds, or a negated errno ----

// Start a child that runs guest_getpid, traced by this thread and stopped
// before a call.  Returns its pid, or a negated errno.
int traced_start(void);

// End it.
void traced_end(int pid);

// The bare round trip: PTRACE_SYSEMU and a blocking wait4.
long long loop_sysemu(int pid, long count);

// The same, with sched_yield and a wait4 that does not block before one that does.
long long loop_sysemu_yield(int pid, long count);

// The kernel calls that a resident switch makes which brings a result in and
// the registers out: PTRACE_POKEUSER, PTRACE_SYSEMU, sched_yield, wait4, PTRACE_GETREGS.
long long loop_same_calls(int pid, long count);

// The same, and the extended state out: PTRACE_GETREGSET.
long long loop_same_calls_xstate(int pid, long count);

// The bare round trip with all registers both ways: PTRACE_SETREGS, PTRACE_GETREGS.
long long loop_registers(int pid, long count);

// The seed's way: registers and extended state both ways, and a blocking wait4.
long long loop_seed(int pid, long count);

// ---- loops without ptrace ----

// A system call without a tracer.
long long loop_getpid(long count);

// The same in a child under a seccomp filter that allows all.
long long loop_getpid_filtered(long count);

// A child that answers each byte through a pipe, or each turn of a futex.
struct pong {
	int pid;
	int ask;
	int answer;
	unsigned *turn;
};

int pong_pipe_start(struct pong *p);
int pong_futex_start(struct pong *p);
void pong_end(struct pong *p);

// Round trips: there and back again.
long long loop_pipe(struct pong *p, long count);
long long loop_futex(struct pong *p, long count);
