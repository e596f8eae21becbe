// Both the compiler and cffi read this file as it stands, so it keeps to what both understand.

// One system call by its number: what the kernel says, an error as -errno.
long system_call(long number, long a, long b, long c, long d, long e, long f);

// A child that sleeps for ever, all signals unblocked and at their defaults, to be killed when the calling thread ends.
// `flags` are clone's: the exit signal and new namespaces.  It keeps glibc's rseq registration only if told to, and
// sets `ready` when it is about to sleep.  The pid, or -errno.
long process_start(unsigned long flags, int keep_rseq, int *ready);
