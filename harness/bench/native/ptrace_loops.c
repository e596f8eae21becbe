// The loops of native.h round a traced child.
#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "native.h"

#define STOPPED_AT_SYSCALL (((SIGTRAP | 0x80) << 8) | 0x7f)

static int stopped(int pid)
{
	int status;

	if (wait4(pid, &status, __WALL, NULL) != pid)
		return -errno;
	return status == STOPPED_AT_SYSCALL ? 0 : -ECHILD;
}

static int stopped_by_yielding(int pid)
{
	int status;

	sched_yield();
	int rc = wait4(pid, &status, __WALL | WNOHANG, NULL);
	if (rc < 0)
		return -errno;
	if (rc == 0)
		return stopped(pid);
	return status == STOPPED_AT_SYSCALL ? 0 : -ECHILD;
}

static __attribute__((noreturn)) void run_guest(void)
{
	if (ptrace(PTRACE_TRACEME, 0, 0, 0) != 0 || raise(SIGSTOP) != 0)
		_exit(errno);	// without a tracer its stop would last for ever
	((void (*)(void))guest_getpid_begin)();
	_exit(1);
}

// Out of raise and into the guest's loop.
static int run_to_guest(int pid)
{
	struct user_regs_struct r;
	int status;

	if (wait4(pid, &status, 0, NULL) != pid)
		return -errno;
	if (WIFEXITED(status))
		return -WEXITSTATUS(status);
	if (ptrace(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL) != 0)
		return -errno;
	do {
		if (ptrace(PTRACE_SYSEMU, pid, 0, 0) != 0 || wait4(pid, &status, __WALL, NULL) != pid)
			return -errno;
		if (!WIFSTOPPED(status))
			return -ECHILD;
		if (ptrace(PTRACE_GETREGS, pid, 0, &r) != 0)
			return -errno;
	} while (status != STOPPED_AT_SYSCALL || r.orig_rax != SYS_getpid);
	return 0;
}

int traced_start(void)
{
	int pid = fork();

	if (pid < 0)
		return -errno;
	if (pid == 0)
		run_guest();
	int rc = run_to_guest(pid);
	if (rc == 0)
		return pid;
	traced_end(pid);
	return rc;
}

void traced_end(int pid)
{
	kill(pid, SIGKILL);
	wait4(pid, NULL, __WALL, NULL);
}

static long long sysemu_rounds(int pid, long count, int (*wait_for)(int))
{
	long long begin = now();

	for (long i = 0; i < count; i++) {
		if (ptrace(PTRACE_SYSEMU, pid, 0, 0) != 0)
			return -errno;
		int rc = wait_for(pid);
		if (rc < 0)
			return rc;
	}
	return now() - begin;
}

long long loop_sysemu(int pid, long count)
{
	return sysemu_rounds(pid, count, stopped);
}

long long loop_sysemu_yield(int pid, long count)
{
	return sysemu_rounds(pid, count, stopped_by_yielding);
}

// What the kernel has of a thread's registers, both kinds.
struct state {
	struct user_regs_struct general;
	struct iovec extended;
	unsigned char image[16384] __attribute__((aligned(64)));
};

static int get_xstate(int pid, struct state *s)
{
	s->extended = (struct iovec){ s->image, sizeof(s->image) };
	return ptrace(PTRACE_GETREGSET, pid, NT_X86_XSTATE, &s->extended) == 0 ? 0 : -errno;
}

static int resume_with_result(int pid)
{
	if (ptrace(PTRACE_POKEUSER, pid, offsetof(struct user_regs_struct, rax), 7) != 0 ||
	    ptrace(PTRACE_SYSEMU, pid, 0, 0) != 0)
		return -errno;
	return stopped_by_yielding(pid);
}

static int same_calls(int pid, struct state *s)
{
	int rc = resume_with_result(pid);

	if (rc < 0)
		return rc;
	return ptrace(PTRACE_GETREGS, pid, 0, &s->general) == 0 ? 0 : -errno;
}

static int same_calls_xstate(int pid, struct state *s)
{
	int rc = same_calls(pid, s);

	return rc < 0 ? rc : get_xstate(pid, s);
}

// -1 says "not in a system call", else the result may be taken for one that is
// to be restarted.
static int registers(int pid, struct state *s)
{
	s->general.rax = 7;
	s->general.orig_rax = -1;
	if (ptrace(PTRACE_SETREGS, pid, 0, &s->general) != 0 || ptrace(PTRACE_SYSEMU, pid, 0, 0) != 0)
		return -errno;
	int rc = stopped(pid);
	if (rc < 0)
		return rc;
	return ptrace(PTRACE_GETREGS, pid, 0, &s->general) == 0 ? 0 : -errno;
}

static int registers_xstate(int pid, struct state *s)
{
	if (ptrace(PTRACE_SETREGSET, pid, NT_X86_XSTATE, &s->extended) != 0)
		return -errno;
	int rc = registers(pid, s);
	return rc < 0 ? rc : get_xstate(pid, s);
}

static long long stateful_rounds(int pid, long count, int (*round)(int, struct state *))
{
	static struct state s;

	if (ptrace(PTRACE_GETREGS, pid, 0, &s.general) != 0)
		return -errno;
	int rc = get_xstate(pid, &s);
	long long begin = now();

	for (long i = 0; rc == 0 && i < count; i++)
		rc = round(pid, &s);
	return rc < 0 ? rc : now() - begin;
}

long long loop_same_calls(int pid, long count)
{
	return stateful_rounds(pid, count, same_calls);
}

long long loop_same_calls_xstate(int pid, long count)
{
	return stateful_rounds(pid, count, same_calls_xstate);
}

long long loop_registers(int pid, long count)
{
	return stateful_rounds(pid, count, registers);
}

long long loop_seed(int pid, long count)
{
	return stateful_rounds(pid, count, registers_xstate);
}
