// One traced thread: single ptrace requests, its owner, and how the owner lets
// go of it, also when the owner ends.
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <asm/processor-flags.h>
#include <elf.h>
#include <unistd.h>

#include "core.h"
#include "internal.h"

// The tracees that this thread traces.
static __thread struct tracee *owned;
static __thread int owned_by_pid;

// Guards `state` and `refs`: which thread may use a tracee, and when it is freed.
static pthread_mutex_t ownership = PTHREAD_MUTEX_INITIALIZER;

// Its destructor parks the tracees of a thread that ends; there is one once `have_end_of_thread` is set.
static pthread_key_t end_of_thread;
static int have_end_of_thread;

static long request_unnoted(int request, int tid, unsigned long address, void *data)
{
	errno = 0;
	long result = ptrace(request, tid, address, data);
	return result == -1 && errno != 0 ? -errno : result;
}

// Record a request and its result.
static void note(int request, int tid, long result, const void *data)
{
	int registers = result == 0 && (request == PTRACE_GETREGS || request == PTRACE_SETREGS);
	int about = (result == 0 && request == PTRACE_GETSIGINFO) || (result > 0 && request == PTRACE_GET_SYSCALL_INFO);

	flight_note(tid, request, result, registers ? FLIGHT_ALL_REGISTERS : FLIGHT_NO_REGISTERS,
		    registers ? data : NULL, about ? data : NULL);
}

long tracee_request(int request, int tid, unsigned long address, void *data)
{
	long result = request_unnoted(request, tid, address, data);

	note(request, tid, result, data);
	return result;
}

long tracee_resume(int request, int tid, enum flight_registers loaded, const struct registers *registers)
{
	long result = request_unnoted(request, tid, 0, NULL);

	flight_note(tid, request, result, loaded, registers, NULL);
	return result;
}

int tracee_wait_unnoted(int tid, int options, int *status)
{
	int result = wait4(tid, status, options, NULL);
	return result < 0 ? -errno : result;
}

int tracee_wait(int tid, int options, int *status)
{
	int result = tracee_wait_unnoted(tid, options, status);

	if (result != 0)	// a look that found nothing is no event
		flight_note(tid, FLIGHT_WAIT, result > 0 ? *status : result, FLIGHT_NO_REGISTERS, NULL, NULL);
	return result;
}

int tracee_await(struct tracee *t, int *status)
{
	int rc = 0;

	if (t->placement != PLACEMENT_FREE) {
		sched_yield();	// on one CPU the tracee runs at once, and we need not sleep
		rc = tracee_wait(t->tid, __WALL | __WNOTHREAD | WNOHANG, status);
	}
	if (rc == 0)
		rc = tracee_wait(t->tid, __WALL | __WNOTHREAD, status);
	t->stops += rc > 0;
	return rc;
}

struct tracee *tracee_new(int tgid, int tid)
{
	struct tracee *t = calloc(1, sizeof(*t));
	if (t != NULL) {
		t->tgid = tgid;
		t->tid = tid;
		t->cpu = -1;
		t->refs = 1;
	}
	return t;
}

int tracee_claim(struct tracee *t)
{
	pthread_mutex_lock(&ownership);
	int parked = t->state == TRACEE_PARKED;
	if (parked) {
		t->state = TRACEE_CLAIMED;
		t->thread = pthread_self();
	}
	pthread_mutex_unlock(&ownership);
	return parked;
}

// tracee_switch looks at the state without the lock.
static void set_state(struct tracee *t, int state)
{
	__atomic_store_n(&t->state, state, __ATOMIC_RELEASE);
}

void tracee_lose(struct tracee *t)
{
	pthread_mutex_lock(&ownership);
	set_state(t, TRACEE_LOST);
	pthread_mutex_unlock(&ownership);
}

int tracee_transfer_xstate(int request, struct tracee *t, void *buffer)
{
	struct iovec iov = { buffer, t->xstate_length };

	if (ptrace(request, t->tid, NT_X86_XSTATE, &iov) != 0)
		return -errno;
	return iov.iov_len == (size_t)t->xstate_length ? 0 : -EIO;
}

int tracee_read_xstate(struct tracee *t, void *buffer)
{
	int rc = tracee_transfer_xstate(PTRACE_GETREGSET, t, buffer);

	if (rc < 0)
		flight_note(t->tid, PTRACE_GETREGSET, rc, FLIGHT_NO_REGISTERS, NULL, NULL);
	return rc;
}

// A stub is reaped only after its tracees are lost, and then another process
// may have the thread's id.  Returns whether the thread runs there now.
static int set_affinity(const struct tracee *t, unsigned long *cpus)
{
	pthread_mutex_lock(&ownership);
	int done = t->state == TRACEE_OWNED && sched_setaffinity(t->tid, sizeof(t->affinity), (cpu_set_t *)cpus) == 0;
	pthread_mutex_unlock(&ownership);
	return done;
}

// A stub that runs where its tracer runs needs no wake-up across CPUs, which
// is most of what a switch costs.  It fails only for a CPU that was just taken
// away; then the scheduler places both.
static void bind_to(struct tracee *t, int cpu)
{
	const int bits = 8 * sizeof(unsigned long);
	unsigned long one[sizeof(t->affinity) / sizeof(unsigned long)] = { 0 };

	if (cpu < 0 || (size_t)cpu >= 8 * sizeof(one))
		return;
	if (t->cpu < 0 && sched_getaffinity(t->tid, sizeof(t->affinity), (cpu_set_t *)t->affinity) != 0)
		return;
	one[cpu / bits] = 1UL << cpu % bits;
	if (set_affinity(t, one))
		t->cpu = cpu;
}

void tracee_place(struct tracee *t)
{
	if (t->placement == PLACEMENT_FREE || (t->placement == PLACEMENT_PIN && t->cpu >= 0))
		return;
	int cpu = sched_getcpu();
	if (cpu != t->cpu)
		bind_to(t, cpu);
}

static void unbind(struct tracee *t)
{
	if (t->cpu >= 0 && set_affinity(t, t->affinity))
		t->cpu = -1;
}

static int send_to_stub(struct tracee *t)
{
	unsigned long blocked = ~0UL;
	struct registers r;

	if (t->resident != NULL) {
		int rc = tracee_read_xstate(t, t->resident);
		if (rc < 0)
			return rc;
		t->resident = NULL;
	}
	memset(&r, 0, sizeof(r));
	r.rip = t->park;
	r.eflags = X86_EFLAGS_IF | X86_EFLAGS_FIXED;
	r.orig_rax = -1;
	r.cs = t->segments.cs;
	r.ss = t->segments.ss;
	if (ptrace(PTRACE_SETSIGMASK, t->tid, sizeof(blocked), &blocked) != 0 ||
	    ptrace(PTRACE_SETREGS, t->tid, 0, &r) != 0)
		return -errno;
	unbind(t);
	return ptrace(PTRACE_DETACH, t->tid, 0, 0) == 0 ? 0 : -errno;
}

// What becomes of a tracee that its owner lets go of.  One that cannot be
// parked is killed: when its tracer ends, the kernel would let the guest run on
// untraced, unless PTRACE_O_EXITKILL is set.
static void settle(struct tracee *t, int parked)
{
	if (t->state != TRACEE_OWNED)	// it was lost before or while it was sent to the stub
		return;
	if (!parked)
		syscall(SYS_tgkill, t->tgid, t->tid, SIGKILL);
	set_state(t, parked ? TRACEE_PARKED : TRACEE_LOST);
}

// The owner lets go.  Once the lock is open, others may claim or free the tracee.
static int release(struct tracee *t)
{
	int rc = __atomic_load_n(&t->state, __ATOMIC_ACQUIRE) == TRACEE_OWNED ? send_to_stub(t) : -ESRCH;

	pthread_mutex_lock(&ownership);
	int left = --t->refs;
	t->thread = 0;	// the next thread may have the same pthread_t
	settle(t, rc == 0);
	pthread_mutex_unlock(&ownership);
	if (left == 0)
		free(t);
	return rc;
}

// Runs when a tracing thread ends, except by a bare exit system call.
// Otherwise the kernel would kill the stub (PTRACE_O_EXITKILL) or let the tracee
// run on untraced.
static void park_all(void *unused)
{
	(void)unused;
	struct tracee *t = owned;

	owned = NULL;
	if (owned_by_pid != getpid())	// a forked child owns nothing
		return;
	while (t != NULL) {
		struct tracee *next = t->next;
		release(t);
		t = next;
	}
}

static int make_end_of_thread(void)
{
	pthread_mutex_lock(&ownership);
	int rc = have_end_of_thread ? 0 : pthread_key_create(&end_of_thread, park_all);
	have_end_of_thread = rc == 0;
	pthread_mutex_unlock(&ownership);
	return -rc;
}

int tracee_watch_end(void)
{
	int rc = make_end_of_thread();

	return rc != 0 ? rc : -pthread_setspecific(end_of_thread, &owned);
}

static void forget_other_process(void)
{
	if (owned_by_pid != getpid()) {
		owned_by_pid = getpid();
		owned = NULL;
	}
}

// Dead tracees that Python dropped while they were on this thread's list.
static void sweep(void)
{
	for (struct tracee **link = &owned; *link != NULL;) {
		struct tracee *t = *link;
		if (__atomic_load_n(&t->state, __ATOMIC_ACQUIRE) == TRACEE_LOST) {
			*link = t->next;
			release(t);
		} else {
			link = &t->next;
		}
	}
}

int tracee_own(struct tracee *t)
{
	int rc = tracee_watch_end();

	if (rc != 0)
		return rc;
	forget_other_process();
	sweep();
	t->owner = (int)syscall(SYS_gettid);
	t->thread = pthread_self();
	t->admission = NULL;
	t->shadow_valid = 0;
	t->next = owned;
	owned = t;
	pthread_mutex_lock(&ownership);
	t->refs = 2;
	if (t->state != TRACEE_LOST)	// its stub may have died since it was claimed
		set_state(t, TRACEE_OWNED);
	pthread_mutex_unlock(&ownership);
	return 0;
}

// Whether its owner's list has it; that thread alone may ask.
static int is_listed(struct tracee *t)
{
	pthread_mutex_lock(&ownership);
	int listed = t->refs == 2;
	pthread_mutex_unlock(&ownership);
	return listed;
}

// What can fail comes before PTRACE_SEIZE: a running thread cannot be detached.
static int seize(struct tracee *t, unsigned long options)
{
	int rc = tracee_watch_end();

	if (rc == 0)
		rc = (int)tracee_request(PTRACE_SEIZE, t->tid, 0, (void *)options);
	if (rc < 0)
		return rc;
	t->stopping = STOP_NOT_ASKED;
	return tracee_own(t);
}

int tracee_attach(struct tracee *t, unsigned long options, int *status)
{
	int rc = is_listed(t) ? 0 : seize(t, options);

	*status = 0;
	if (rc == 0 && t->stopping == STOP_NOT_ASKED) {
		rc = (int)tracee_request(PTRACE_INTERRUPT, t->tid, 0, NULL);
		if (rc == 0 || rc == -ESRCH) {	// whether it is dead, the wait tells
			t->stopping = STOP_ASKED;
			rc = 0;
		}
	}
	if (rc < 0 || t->stopping == STOP_SEEN)
		return rc;
	rc = tracee_wait(t->tid, __WALL | __WNOTHREAD, status);
	if (rc != -EINTR)
		t->stopping = STOP_SEEN;
	t->stops += rc > 0;
	return rc < 0 ? rc : 0;
}

int tracee_park(struct tracee *t)
{
	forget_other_process();
	for (struct tracee **link = &owned; *link != NULL; link = &(*link)->next) {
		if (*link == t) {
			*link = t->next;
			return release(t);
		}
	}
	return -ESRCH;
}

void tracee_drop(struct tracee *t)
{
	pthread_mutex_lock(&ownership);
	int left = --t->refs;
	pthread_mutex_unlock(&ownership);
	if (left == 0)
		free(t);
}

int tracees_owned(void)
{
	int count = 0;

	forget_other_process();
	for (struct tracee *t = owned; t != NULL; t = t->next)
		count++;
	return count;
}
