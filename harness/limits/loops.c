// The loops of loops.h.
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "loops.h"

__asm__(".pushsection .text\n"
	".globl getpid_loop_begin, getpid_loop_end\n"
	".hidden getpid_loop_begin, getpid_loop_end\n"
	"getpid_loop_begin:\n"
	"1:	movl	$39, %eax\n"	// __NR_getpid
	"	syscall\n"
	"	jmp	1b\n"
	"getpid_loop_end:\n"
	".popsection\n");

#define STOPPED_AT_SYSCALL (((SIGTRAP | 0x80) << 8) | 0x7f)

static long long now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

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
	if (rc == 0)
		return stopped(pid);
	return rc == pid && status == STOPPED_AT_SYSCALL ? 0 : -ECHILD;
}

int limit_start(void)
{
	int status;
	int pid = fork();

	if (pid == 0) {
		ptrace(PTRACE_TRACEME, 0, 0, 0);
		raise(SIGSTOP);
		((void (*)(void))getpid_loop_begin)();
		_exit(1);
	}
	if (pid < 0 || wait4(pid, &status, 0, NULL) != pid)
		return -errno;
	if (ptrace(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL) != 0)
		return -errno;
	// Out of raise and into the loop.
	do {
		struct user_regs_struct r;
		if (ptrace(PTRACE_SYSEMU, pid, 0, 0) != 0 || wait4(pid, &status, __WALL, NULL) != pid ||
		    ptrace(PTRACE_GETREGS, pid, 0, &r) != 0)
			return -errno;
		if (status == STOPPED_AT_SYSCALL && r.orig_rax == SYS_getpid)
			return pid;
	} while (WIFSTOPPED(status));
	return -ECHILD;
}

void limit_end(int pid)
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

long long limit_sysemu(int pid, long count)
{
	return sysemu_rounds(pid, count, stopped);
}

long long limit_sysemu_yield(int pid, long count)
{
	return sysemu_rounds(pid, count, stopped_by_yielding);
}

long long limit_same_calls(int pid, long count)
{
	struct user_regs_struct r;
	long long begin = now();

	for (long i = 0; i < count; i++) {
		if (ptrace(PTRACE_POKEUSER, pid, offsetof(struct user_regs_struct, rax), 7) != 0 ||
		    ptrace(PTRACE_SYSEMU, pid, 0, 0) != 0)
			return -errno;
		int rc = stopped_by_yielding(pid);
		if (rc < 0)
			return rc;
		if (ptrace(PTRACE_GETREGS, pid, 0, &r) != 0)
			return -errno;
	}
	return now() - begin;
}

long long limit_getpid(long count)
{
	long long begin = now();

	for (long i = 0; i < count; i++)
		syscall(SYS_getpid);
	return now() - begin;
}
