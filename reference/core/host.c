// What the core asks of the process it runs in.
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core.h"

#define RSEQ_SIGNATURE 0x53053053	// glibc's on x86: include sysdeps/unix/sysv/linux/x86/bits/rseq.h
#define RSEQ_FLAG_UNREGISTER 1

// glibc 2.35 and later register an area per thread and say where it is.
extern const ptrdiff_t __rseq_offset __attribute__((weak));
extern const unsigned int __rseq_size __attribute__((weak));

static int rseq_call(unsigned int length, int flags)
{
	void *area = (char *)__builtin_thread_pointer() + __rseq_offset;
	return syscall(SYS_rseq, area, length, flags, RSEQ_SIGNATURE) == 0 ? 0 : -errno;
}

// A thread made by one that has no area gets none either, and nobody tells:
// what can be registered was not.
static int rseq_is_unregistered(void)
{
	return rseq_call(32, 0) == 0 && rseq_call(32, RSEQ_FLAG_UNREGISTER) == 0;
}

// The length must be the one it was registered with, and __rseq_size is not
// always that: Debian's glibc says 20 and registers 32.
int rseq_unregister(void)
{
	if (&__rseq_offset == NULL || &__rseq_size == NULL || __rseq_size == 0)
		return 0;
	const unsigned int lengths[] = { 32, __rseq_size, 28, 24, 40, 48, 56, 64 };
	int rc = 0;
	for (size_t i = 0; i < sizeof(lengths) / sizeof(*lengths); i++) {
		rc = rseq_call(lengths[i], RSEQ_FLAG_UNREGISTER);
		if (rc == 0)
			return lengths[i];
	}
	return rseq_is_unregistered() ? 0 : rc;
}

int current_cpu(void)
{
	return sched_getcpu();
}

int signal_thread(int tgid, int tid, int signal)
{
	return syscall(SYS_tgkill, tgid, tid, signal) == 0 ? 0 : -errno;
}

// The action as sigchld_ignore_stops left it, if it had to set the flag.
static struct sigaction quiet;

int sigchld_ignore_stops(void)
{
	struct sigaction action;

	if (sigaction(SIGCHLD, NULL, &action) != 0)
		return -errno;
	if (action.sa_flags & SA_NOCLDSTOP)
		return 0;
	action.sa_flags |= SA_NOCLDSTOP;
	quiet = action;
	return sigaction(SIGCHLD, &action, NULL) == 0 ? 0 : -errno;
}

int sigchld_heed_stops(void)
{
	struct sigaction action;

	if (sigaction(SIGCHLD, NULL, &action) != 0)
		return -errno;
	if (action.sa_handler != quiet.sa_handler || action.sa_flags != quiet.sa_flags)
		return 0;
	action.sa_flags &= ~SA_NOCLDSTOP;
	quiet.sa_flags = 0;
	return sigaction(SIGCHLD, &action, NULL) == 0 ? 0 : -errno;
}
