// C for the facts about the kernel: system calls without the C library, and a child that runs no Python.
#define _GNU_SOURCE
#include <errno.h>
#include <linux/rseq.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "raw_ptrace.h"

#define RSEQ_SIGNATURE 0x53053053	// RSEQ_SIG of <sys/rseq.h>, which glibc has from 2.35 on
#define SIGNALS 64

// The child runs in a copy of a process with many threads: no libc and no
// errno, so neither a stack protector's nor a sanitizer's runtime.
#define CHILD_CODE __attribute__((no_stack_protector, no_sanitize("all")))

#if !defined(__x86_64__)
#error "no raw system call for this architecture"
#endif

CHILD_CODE
long system_call(long number, long a, long b, long c, long d, long e, long f)
{
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;
	long result;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return result;
}

// In glibc since 2.35, and declared only there.
extern const ptrdiff_t __rseq_offset __attribute__((weak));
extern const unsigned int __rseq_size __attribute__((weak));

// The length must be the registered one: 32 in glibc before 2.40, __rseq_size since.
CHILD_CODE
static void unregister_rseq(void)
{
	if (&__rseq_offset == NULL || __rseq_size == 0)
		return;
	char *area = (char *)__builtin_thread_pointer() + __rseq_offset;
	if (system_call(SYS_rseq, (long)area, 32, RSEQ_FLAG_UNREGISTER, RSEQ_SIGNATURE, 0, 0) != 0)
		system_call(SYS_rseq, (long)area, __rseq_size, RSEQ_FLAG_UNREGISTER, RSEQ_SIGNATURE, 0, 0);
}

CHILD_CODE
static void reset_signals(void)
{
	const unsigned long defaults[4] = { 0 };	// struct sigaction as the kernel has it
	const unsigned long none = 0;

	for (int signo = 1; signo <= SIGNALS; signo++)
		system_call(SYS_rt_sigaction, signo, (long)defaults, 0, sizeof(none), 0, 0);
	system_call(SYS_rt_sigprocmask, SIG_SETMASK, (long)&none, 0, sizeof(none), 0, 0);
}

// One byte: smaller than any core file, and the kernel then pipes none to a handler either.
CHILD_CODE
static void forbid_core_dumps(void)
{
	const unsigned long one_byte[2] = { 1, 1 };

	system_call(SYS_prlimit64, 0, RLIMIT_CORE, (long)one_byte, 0, 0, 0);
}

CHILD_CODE
long process_start(unsigned long flags, int keep_rseq, int *ready)
{
	long parent = system_call(SYS_getpid, 0, 0, 0, 0, 0, 0);
	long pid = system_call(SYS_clone, (long)flags, 0, 0, 0, 0, 0);

	if (pid != 0)
		return pid;
	system_call(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0, 0);
	// The parent may have died before; in a new PID namespace it has no number.
	if (!(flags & CLONE_NEWPID) && system_call(SYS_getppid, 0, 0, 0, 0, 0, 0) != parent)
		for (;;)
			system_call(SYS_exit_group, 1, 0, 0, 0, 0, 0);
	if (!keep_rseq)
		unregister_rseq();
	forbid_core_dumps();
	reset_signals();
	__atomic_store_n(ready, 1, __ATOMIC_RELEASE);
	for (;;)
		system_call(SYS_pause, 0, 0, 0, 0, 0, 0);
}
