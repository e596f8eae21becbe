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
#include <sys/uio.h>
#include <sys/wait.h>
#include <asm/processor-flags.h>
#include <elf.h>

#include "core.h"
#include "internal.h"

_Static_assert(sizeof(struct registers) == sizeof(struct user_regs_struct), "user_regs_struct");

#define SYSCALL_STOP W_STOPCODE(SIGTRAP | 0x80)	// with PTRACE_O_TRACESYSGOOD
#define WAIT (__WALL | __WNOTHREAD)

// include/linux/errno.h; user space never sees them.
#define ERESTARTSYS 512UL
#define ERESTART_RESTARTBLOCK 516UL

// A system call's result in this range makes the kernel rewind and restart the
// call on the way to user space.
static int is_restart_code(unsigned long rax)
{
	return rax >= -ERESTART_RESTARTBLOCK && rax <= -ERESTARTSYS;
}

// A request failed, and the guest did not run.
static __attribute__((cold)) int failed(const struct tracee *t, struct admission *a, int request, int rc)
{
	a->failed = request;
	flight_note(t->tid, request, rc, FLIGHT_NO_REGISTERS, NULL, NULL);
	return SWITCH_ERROR - rc;
}

// A request failed after the guest ran.
static __attribute__((cold)) int unread(const struct tracee *t, struct admission *a, int request, int rc)
{
	int result = failed(t, a, request, rc);
	return rc == -ESRCH ? result : result - SWITCH_ERROR + SWITCH_UNREAD;
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

static unsigned long place_in_stub(const struct tracee *t, const unsigned char *label)
{
	return t->park + (unsigned long)(label - stub_park);
}

// PTRACE_SETREGS refuses segment bases beyond user addresses and leaves the ID
// flag as it is, but a guest's own instructions can set both (wrfsbase, popf).
// So can the stub's: let the thread run them, up to its next system call.
static int prepare(struct tracee *t, struct admission *a, int bases_are_set)
{
	const struct registers *guest = a->registers;
	struct registers r = t->segments;

	r.rip = place_in_stub(t, bases_are_set ? stub_flags : stub_bases);
	r.rsp = place_in_stub(t, stub_words) + (guest->eflags & X86_EFLAGS_ID ? sizeof(r.rsp) : 0);
	r.eflags = X86_EFLAGS_IF | X86_EFLAGS_FIXED;
	r.rdi = guest->fs_base;
	r.rsi = guest->gs_base;
	if (bases_are_set) {
		r.fs_base = guest->fs_base;
		r.gs_base = guest->gs_base;
	}
	if (ptrace(PTRACE_SETREGS, t->tid, 0, &r) != 0)
		return failed(t, a, PTRACE_SETREGS, -errno);
	t->preparing = 1;
	return 0;
}

// EIO can only mean the bases: all selectors are the stub's.
static int load_all(struct tracee *t, struct admission *a)
{
	int rc = ptrace(PTRACE_SETREGS, t->tid, 0, a->registers) == 0 ? 0 : -errno;

	if (rc == 0 && !((a->registers->eflags ^ t->shadow.eflags) & X86_EFLAGS_ID))
		return 0;
	if (rc == 0 || rc == -EIO)
		return prepare(t, a, rc == 0);
	return failed(t, a, PTRACE_SETREGS, rc);
}

// orig_rax, which is -1, says "not in a system call": else a result between
// -516 and -512 would be restarted.  When only the result differs from what the thread
// already has, one word is enough (a quarter of the cost of them all), unless
// it is such a value.  Returns 0 or SWITCH_ERROR plus an errno.
static int load(struct tracee *t, struct admission *a, enum flight_registers *loaded)
{
	struct registers *r = a->registers;
	unsigned long rax = r->rax;

	force_segments(t, r);
	r->orig_rax = t->shadow.orig_rax;
	r->rax = t->shadow.rax;
	int same = t->shadow_valid && memcmp(r, &t->shadow, sizeof(*r)) == 0;
	r->rax = rax;
	t->shadow_valid = 0;	// what follows may write some and fail
	if (!same || is_restart_code(rax)) {
		*loaded = FLIGHT_ALL_REGISTERS;
		r->orig_rax = t->segments.orig_rax;
		return load_all(t, a);
	}
	if (rax == t->shadow.rax)
		return 0;
	*loaded = FLIGHT_RESULT_REGISTER;
	if (ptrace(PTRACE_POKEUSER, t->tid, offsetof(struct user_regs_struct, rax), rax) != 0)
		return failed(t, a, PTRACE_POKEUSER, -errno);
	return 0;
}

// Yield first: on one CPU the tracee then runs at once and has usually stopped
// when sched_yield returns, so that this thread never sleeps.  A guest that
// still runs is not waited for here: Python must first run the handlers of
// signals that arrived in the meantime.
static int glance(struct tracee *t, int *status)
{
	sched_yield();
	int rc = tracee_wait_unnoted(t->tid, WAIT | WNOHANG, status);
	return rc == 0 ? -EINTR : rc;
}

// The 64-bit instruction leaves its own address and flags in rcx and r11; int
// $0x80 does not.  A guest that forges them gains nothing: it could have made
// the 64-bit call.
static int is_native_syscall(const struct tracee *t, const struct registers *r)
{
	return r->rcx == r->rip && r->r11 == r->eflags && r->cs == t->segments.cs;
}

// Returns 0 or, with the request that failed, a negated errno.
static int read_back(struct tracee *t, struct admission *a, int *request)
{
	*request = PTRACE_GETREGS;
	if (ptrace(PTRACE_GETREGS, t->tid, 0, a->registers) != 0)
		return -errno;
	t->shadow = *a->registers;
	t->shadow_valid = 1;
	*request = PTRACE_GETREGSET;
	return a->xget == NULL ? 0 : tracee_transfer_xstate(PTRACE_GETREGSET, t, a->xget);
}

// Only the tracer can ask, and only now: Python may interpret the stop later, on
// another thread.
static int ask(struct tracee *t, struct admission *a, int request, int status)
{
	a->failed = request;
	a->about_length = tracee_request(request, t->tid, sizeof(a->about), a->about);
	if (a->about_length == -ESRCH)
		return SWITCH_ERROR + ESRCH;
	// PTRACE_GET_SYSCALL_INFO is of Linux 5.3, and Python does without it.
	if (a->about_length < 0 && request == PTRACE_GETSIGINFO)
		return SWITCH_UNREAD - (int)a->about_length;
	return SWITCH_STOP + status;
}

// Whether the stub's own instruction faulted: no other thread or process can
// send these signals with a positive code.
static int is_refused(const struct admission *a)
{
	siginfo_t info;

	memcpy(&info, a->about, sizeof(info));
	return (info.si_signo == SIGSEGV || info.si_signo == SIGILL) && info.si_code > 0;
}

// The bases are set; all registers before them in struct registers are loaded now.
static int load_the_rest(struct tracee *t, struct admission *a)
{
	struct iovec rest = { a->registers, offsetof(struct registers, fs_base) };

	return ptrace(PTRACE_SETREGSET, t->tid, NT_PRSTATUS, &rest) == 0 ? 0 : failed(t, a, PTRACE_SETREGSET, -errno);
}

static int run_and_collect(struct tracee *t, struct admission *a, enum flight_registers loaded, int glancing);

// The thread stopped at the end of the stub's code that `prepare` had it run, or
// earlier, and the guest did not run.  The ID flag cannot be set where the
// guest's protection keys forbid the stub to read its page; it is let be then.
static int prepared(struct tracee *t, struct admission *a, int status, int glancing)
{
	int result = 0;

	t->preparing = 0;
	if (ptrace(PTRACE_GETREGS, t->tid, 0, &t->shadow) != 0)
		return failed(t, a, PTRACE_GETREGS, -errno);
	if (status != SYSCALL_STOP) {
		result = status >> 16 == 0 ? ask(t, a, PTRACE_GETSIGINFO, status) : SWITCH_STOP + status;
		if (status >> 16 != 0 || result != SWITCH_STOP + status || !is_refused(a))
			return result;
		if (t->shadow.rip != place_in_stub(t, stub_flags))
			return failed(t, a, PTRACE_SETREGS, -EIO);
	}
	result = load_the_rest(t, a);
	return result != 0 ? result : run_and_collect(t, a, FLIGHT_ALL_REGISTERS, glancing);
}

static int collect(struct tracee *t, struct admission *a, int glancing)
{
	struct registers *r = a->registers;
	int status, request;
	int rc = glancing ? glance(t, &status) : tracee_wait_unnoted(t->tid, WAIT, &status);

	if (rc < 0)
		return rc == -EINTR ? SWITCH_ERROR + EINTR : failed(t, a, FLIGHT_WAIT, rc);
	t->stops++;
	if (!WIFSTOPPED(status)) {
		flight_note(t->tid, FLIGHT_WAIT, status, FLIGHT_NO_REGISTERS, NULL, NULL);
		return SWITCH_STOP + status;
	}
	if (t->preparing) {
		flight_note(t->tid, FLIGHT_WAIT, status, FLIGHT_NO_REGISTERS, NULL, NULL);
		return prepared(t, a, status, glancing);
	}
	rc = read_back(t, a, &request);
	flight_note(t->tid, FLIGHT_WAIT, status, rc < 0 ? FLIGHT_NO_REGISTERS : FLIGHT_ALL_REGISTERS, r, NULL);
	if (rc < 0)
		return unread(t, a, request, rc);
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
	int rc = tracee_transfer_xstate(PTRACE_SETREGSET, t, a->xset);

	if (rc < 0)
		return failed(t, a, PTRACE_SETREGSET, rc);
	if (a->xget == NULL)
		t->resident = a->xset;
	a->xset = NULL;
	return 0;
}

// Run the guest, or the stub's code that must run before it, and collect.
static int run_and_collect(struct tracee *t, struct admission *a, enum flight_registers loaded, int glancing)
{
	int request = t->preparing ? PTRACE_SYSEMU : a->registers->eflags & X86_EFLAGS_TF ? a->step : a->run;
	int rc = (int)tracee_resume(request, t->tid, loaded, a->registers);

	if (rc == 0)
		return collect(t, a, glancing);
	a->failed = request;
	t->preparing = 0;
	return SWITCH_ERROR - rc;
}

// Returns 0 or SWITCH_ERROR plus an errno.
static int load_state(struct tracee *t, struct admission *a, enum flight_registers *loaded)
{
	if (__atomic_load_n(&t->state, __ATOMIC_ACQUIRE) != TRACEE_OWNED)
		return SWITCH_ERROR + ESRCH;
	int result = a->xset == NULL ? 0 : take_xstate(t, a);
	return result != 0 ? result : load(t, a, loaded);
}

int tracee_switch(struct admission *a)
{
	struct tracee *t = a->tracee;

	if (t->thread != pthread_self() || __atomic_load_n(&t->admission, __ATOMIC_SEQ_CST) != a)
		return a->result = SWITCH_REFUSED;
	enum flight_registers loaded = FLIGHT_NO_REGISTERS;
	int result = load_state(t, a, &loaded);
	if (result == 0) {
		tracee_place(t);
		result = run_and_collect(t, a, loaded, t->placement != PLACEMENT_FREE);
	}
	return a->result = result;
}

int tracee_halt(struct admission *a)
{
	struct tracee *t = a->tracee;

	if (a->result != SWITCH_ERROR + EINTR)
		return a->result;
	if (t->thread != pthread_self())
		return SWITCH_REFUSED;
	int rc = (int)tracee_request(PTRACE_INTERRUPT, t->tid, 0, NULL);
	if (rc != 0 && rc != -ESRCH)	// whether it is dead, the wait tells
		return a->result = unread(t, a, PTRACE_INTERRUPT, rc);
	return tracee_collect(a);
}
