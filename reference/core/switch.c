// The hot path: registers in, resume, wait, registers out, in one call.
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>

#include "core.h"
#include "internal.h"

_Static_assert(sizeof(struct registers) == sizeof(struct user_regs_struct), "user_regs_struct");

#define TRAP_FLAG 0x100
#define SYSCALL_STOP (((SIGTRAP | 0x80) << 8) | 0x7f)
#define WAIT (__WALL | __WNOTHREAD)

// include/linux/errno.h: a system call's result in this range makes the kernel
// rewind and restart it on the way to user space.
static int is_restart_code(unsigned long rax)
{
	return rax >= -516UL && rax <= -512UL;
}

static void force_segments(struct tracee *t, struct registers *r)
{
	r->cs = t->segments.cs;
	r->ss = t->segments.ss;
	r->ds = t->segments.ds;
	r->es = t->segments.es;
	r->fs = t->segments.fs;
	r->gs = t->segments.gs;
}

// orig_rax, which is -1, says "not in a system call": else a result between
// -516 and -512 would be restarted.  When only the result differs from what the thread
// already has, one word is enough (a quarter of the cost of them all), unless
// it is such a value.  Returns which registers were loaded, as the recorder
// calls them, or a negated errno.
static int load(struct tracee *t, struct registers *r)
{
	unsigned long rax = r->rax;

	force_segments(t, r);
	r->orig_rax = t->shadow.orig_rax;
	r->rax = t->shadow.rax;
	int same = t->shadow_valid && memcmp(r, &t->shadow, sizeof(*r)) == 0;
	r->rax = rax;
	if (same && !is_restart_code(rax)) {
		if (rax == t->shadow.rax)
			return FLIGHT_NO_REGISTERS;
		if (ptrace(PTRACE_POKEUSER, t->tid, offsetof(struct user_regs_struct, rax), rax) != 0)
			return -errno;
		return FLIGHT_RESULT_REGISTER;
	}
	r->orig_rax = t->segments.orig_rax;
	return ptrace(PTRACE_SETREGS, t->tid, 0, r) == 0 ? FLIGHT_ALL_REGISTERS : -errno;
}

// Yield first: on one CPU the tracee then runs at once and has usually stopped
// before we are back, and we never sleep.  A guest that still runs then is not
// waited for here: a signal that came while we had yielded would have to wait
// as long, and Python has handlers to run.
static int glance(struct tracee *t, int *status)
{
	sched_yield();
	int rc = tracee_wait_unnoted(t->tid, WAIT | WNOHANG, status);
	return rc == 0 ? -EINTR : rc;
}

// The instruction leaves its own address and flags in rcx and r11; int $0x80
// does not.  A guest can forge that only by lying to itself: it could have
// made the 64-bit call it pretends to make.
static int is_native_syscall(const struct tracee *t, const struct registers *r)
{
	return r->rcx == r->rip && r->r11 == r->eflags && r->cs == t->segments.cs;
}

static int read_back(struct tracee *t, struct admission *a)
{
	if (ptrace(PTRACE_GETREGS, t->tid, 0, a->registers) != 0)
		return -errno;
	t->shadow = *a->registers;
	t->shadow_valid = 1;
	return a->xget == NULL ? 0 : tracee_read_xstate(t, a->xget);
}

// Only its tracer can ask, and only now: what Python makes of the stop may have
// to wait until another thread comes.
static int ask(struct tracee *t, struct admission *a, int request, int status)
{
	a->about_length = tracee_request(request, t->tid, sizeof(a->about), a->about);
	return a->about_length == -ESRCH ? SWITCH_ERROR + ESRCH : SWITCH_STOP + status;
}

static int failed(struct tracee *t, int request, int rc)
{
	flight_note(t->tid, request, rc, FLIGHT_NO_REGISTERS, NULL, NULL);
	return SWITCH_ERROR - rc;
}

static int collect(struct tracee *t, struct admission *a, int glancing)
{
	struct registers *r = a->registers;
	int status;
	int rc = glancing ? glance(t, &status) : tracee_wait_unnoted(t->tid, WAIT, &status);

	if (rc < 0)
		return rc == -EINTR ? SWITCH_ERROR + EINTR : failed(t, FLIGHT_WAIT, rc);
	t->stops++;
	if (!WIFSTOPPED(status)) {
		flight_note(t->tid, FLIGHT_WAIT, status, FLIGHT_NO_REGISTERS, NULL, NULL);
		return SWITCH_STOP + status;
	}
	rc = read_back(t, a);
	flight_note(t->tid, FLIGHT_WAIT, status, rc < 0 ? FLIGHT_NO_REGISTERS : FLIGHT_ALL_REGISTERS, r, NULL);
	if (rc < 0)
		return failed(t, PTRACE_GETREGS, rc);
	if (status != SYSCALL_STOP)
		return status >> 16 == 0 ? ask(t, a, PTRACE_GETSIGINFO, status) : SWITCH_STOP + status;
	r->rax = r->orig_rax;	// the kernel put -ENOSYS there
	if (!is_native_syscall(t, r))
		return ask(t, a, PTRACE_GET_SYSCALL_INFO, status);
	return r->rax < SWITCH_SYSCALLS ? (int)r->rax : SWITCH_UNUSUAL_SYSCALL;
}

int tracee_collect(struct admission *a)
{
	return a->result = collect(a->tracee, a, 0);
}

void tracee_admit(struct tracee *t, struct admission *a)
{
	__atomic_store_n(&t->admission, a, __ATOMIC_SEQ_CST);
}

static int take_xstate(struct tracee *t, struct admission *a)
{
	int rc = tracee_write_xstate(t, a->xset);

	if (rc < 0)
		return rc;
	if (a->xget == NULL)
		t->resident = a->xset;
	a->xset = NULL;
	return 0;
}

static int resume(struct tracee *t, struct admission *a)
{
	struct registers *r = a->registers;

	if (__atomic_load_n(&t->state, __ATOMIC_ACQUIRE) != TRACEE_OWNED)
		return -ESRCH;
	int rc = a->xset == NULL ? 0 : take_xstate(t, a);
	int loaded = rc < 0 ? rc : load(t, r);
	if (loaded < 0) {
		t->shadow_valid = 0;	// some may have been written
		flight_note(t->tid, PTRACE_SETREGS, loaded, FLIGHT_NO_REGISTERS, NULL, NULL);
		return loaded;
	}
	tracee_place(t);
	t->shadow_valid = 0;
	return tracee_resume(r->eflags & TRAP_FLAG ? a->step : a->run, t->tid, loaded, r);
}

int tracee_switch(struct admission *a)
{
	struct tracee *t = a->tracee;

	if (t->thread != pthread_self() || __atomic_load_n(&t->admission, __ATOMIC_SEQ_CST) != a)
		return a->result = SWITCH_REFUSED;
	int rc = resume(t, a);
	return a->result = rc < 0 ? SWITCH_ERROR - rc : collect(t, a, t->placement != PLACEMENT_FREE);
}

int tracee_halt(struct admission *a)
{
	const int still_running = SWITCH_ERROR + EINTR;

	if (a->result == still_running)
		tracee_request(PTRACE_INTERRUPT, a->tracee->tid, 0, NULL);
	while (a->result == still_running)
		tracee_collect(a);
	return a->result;
}
