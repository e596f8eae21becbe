// Both the compiler and cffi read this file, so it uses only what both understand.

// One system call by its number; the result, or -errno.
long system_call(long number, long a, long b, long c, long d, long e, long f);

// Starts a child that sleeps for ever, with all signals unblocked and at their defaults, and that is killed when the
// calling thread ends.  `flags` are clone's: the exit signal and new namespaces.  The child keeps glibc's rseq
// registration only if `keep_rseq`, and sets `ready` before it sleeps.  Returns the pid, or -errno.
long process_start(unsigned long flags, int keep_rseq, int *ready);
