// What the core does in the process it runs in.
#define _GNU_SOURCE
#include <Python.h>	// first, as it requires; of it only what the stable ABI has
#include <errno.h>
#include <linux/rseq.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core.h"

#define RSEQ_SIGNATURE 0x53053053	// RSEQ_SIG of <sys/rseq.h>, which glibc has from 2.35 on

// glibc 2.35 and later register an area per thread and export where it is.
extern const ptrdiff_t __rseq_offset __attribute__((weak));
extern const unsigned int __rseq_size __attribute__((weak));

static int rseq_call(unsigned int length, int flags)
{
	void *area = (char *)__builtin_thread_pointer() + __rseq_offset;
	return syscall(SYS_rseq, area, length, flags, RSEQ_SIGNATURE) == 0 ? 0 : -errno;
}

// A thread created by one without an area has none either, and glibc does not
// report it: if registration succeeds, there was none.
static int rseq_is_unregistered(void)
{
	return rseq_call(32, 0) == 0 && rseq_call(32, RSEQ_FLAG_UNREGISTER) == 0;
}

// The length must be the registered one, which __rseq_size need not be: Debian's
// glibc exports 20 and registers 32.
int rseq_unregister(void)
{
	if (&__rseq_offset == NULL || &__rseq_size == NULL || __rseq_size == 0)
		return 0;
	const unsigned int lengths[] = { 32, __rseq_size, 28, 24, 40, 48, 56, 64 };
	int rc = 0;
	for (size_t i = 0; i < sizeof(lengths) / sizeof(*lengths); i++) {
		rc = rseq_call(lengths[i], RSEQ_FLAG_UNREGISTER);
		if (rc == 0)
			return (int)lengths[i];
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

// The action as ignore_stops left it, if it had to set the flag.
static struct sigaction quiet;

static int ignore_stops(void)
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

static int heed_stops(void)
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

// cffi has released the interpreter's lock.  Python's signal.signal holds it,
// and must not run between reading the action and writing it.
static int with_python_lock(int (*change)(void))
{
	PyGILState_STATE state = PyGILState_Ensure();
	int rc = change();
	PyGILState_Release(state);
	return rc;
}

int sigchld_ignore_stops(void)
{
	return with_python_lock(ignore_stops);
}

int sigchld_heed_stops(void)
{
	return with_python_lock(heed_stops);
}
