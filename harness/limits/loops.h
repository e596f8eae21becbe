// The least that a switch can cost, measured by C loops that do nothing else.
// Both the compiler and cffi read this file as it stands.

// A program that makes getpid system calls for ever; position independent, no stack.
extern const unsigned char getpid_loop_begin[];
extern const unsigned char getpid_loop_end[];

// Start a child that runs it, traced by this thread and stopped before a
// call.  Returns its pid, or a negated errno.
int limit_start(void);

// End it.
void limit_end(int pid);

// Each returns nanoseconds for `count` rounds, or a negated errno.

// The bare round trip: PTRACE_SYSEMU and a blocking wait4.
long long limit_sysemu(int pid, long count);

// The same, with sched_yield and a wait4 that does not block before one that does.
long long limit_sysemu_yield(int pid, long count);

// The kernel calls that a switch makes which brings a result in and the
// registers out: PTRACE_POKEUSER, PTRACE_SYSEMU, sched_yield, wait4, PTRACE_GETREGS.
long long limit_same_calls(int pid, long count);

// A system call that nobody traces.
long long limit_getpid(long count);
