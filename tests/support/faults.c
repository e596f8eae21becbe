// Preloaded by tests: has system calls of the C core fail as a script asks.  Calls of others pass.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <stdarg.h>
#include <unistd.h>

int failing_request = -1;	// the ptrace request that fails, -1: none
int request_error;		// with this errno; 0: it succeeds, with half of the bytes
int requests_failed;
int setspecific_error;		// of pthread_setspecific; 0: it succeeds
int frozen_tid;			// a tracee whose stops no wait finds, as if its control group was frozen

#define REAL(name) ((__typeof__(&(name)))dlsym(RTLD_NEXT, #name))

static int is_core(const void *caller)
{
	Dl_info info;

	return dladdr(caller, &info) != 0 && strstr(info.dli_fname, "/reference/_core") != NULL;
}

long ptrace(enum __ptrace_request request, ...)
{
	va_list list;

	va_start(list, request);
	pid_t pid = va_arg(list, pid_t);
	void *address = va_arg(list, void *);
	void *data = va_arg(list, void *);
	va_end(list);
	if ((int)request != failing_request || !is_core(__builtin_return_address(0)))
		return REAL(ptrace)(request, pid, address, data);
	requests_failed++;
	if (request_error == 0) {
		((struct iovec *)data)->iov_len /= 2;
		return REAL(ptrace)(request, pid, address, data);
	}
	errno = request_error;
	return -1;
}

int pthread_setspecific(pthread_key_t key, const void *value)
{
	if (setspecific_error != 0 && is_core(__builtin_return_address(0)))
		return setspecific_error;
	return REAL(pthread_setspecific)(key, value);
}

pid_t wait4(pid_t pid, int *status, int options, struct rusage *usage)
{
	if (frozen_tid == 0 || pid != frozen_tid)
		return REAL(wait4)(pid, status, options, usage);
	return options & WNOHANG ? 0 : pause();
}
