// The loops of native.h without ptrace.
#define _GNU_SOURCE
#include <errno.h>
#include <linux/filter.h>
#include <linux/futex.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "native.h"

long long loop_getpid(long count)
{
	long long begin = now();

	for (long i = 0; i < count; i++)
		syscall(SYS_getpid);
	return now() - begin;
}

static void filtered(long count, int out)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { 2, code };
	long long spent;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
		spent = -errno;
	else
		spent = loop_getpid(count);
	_exit(write(out, &spent, sizeof(spent)) == sizeof(spent) ? 0 : 1);
}

long long loop_getpid_filtered(long count)
{
	long long spent;
	int ends[2];

	if (pipe(ends) != 0)
		return -errno;
	int pid = fork();
	if (pid == 0)
		filtered(count, ends[1]);
	int error = errno;
	close(ends[1]);
	if (pid < 0)
		spent = -error;
	else if (read(ends[0], &spent, sizeof(spent)) != sizeof(spent))
		spent = -EPIPE;
	close(ends[0]);
	if (pid > 0)
		waitpid(pid, NULL, 0);
	return spent;
}

// ---- two processes in turn ----

static void die_with_parent(int parent)
{
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent)
		_exit(1);
}

static void answer_bytes(int in, int out)
{
	char byte;

	while (read(in, &byte, 1) == 1 && write(out, &byte, 1) == 1)
		;
	_exit(0);
}

static void close_both(const int ends[2])
{
	close(ends[0]);
	close(ends[1]);
}

static int pong_pipe_fork(struct pong *p, const int there[2], const int back[2])
{
	int parent = getpid();

	p->pid = fork();
	if (p->pid < 0)
		return -errno;
	if (p->pid == 0) {
		die_with_parent(parent);
		close(there[1]);
		close(back[0]);
		answer_bytes(there[0], back[1]);
	}
	close(there[0]);
	close(back[1]);
	p->ask = there[1];
	p->answer = back[0];
	return 0;
}

int pong_pipe_start(struct pong *p)
{
	int there[2], back[2];

	*p = (struct pong){ 0 };
	if (pipe(there) != 0)
		return -errno;
	if (pipe(back) != 0) {
		int error = errno;
		close_both(there);
		return -error;
	}
	int rc = pong_pipe_fork(p, there, back);
	if (rc < 0) {
		close_both(there);
		close_both(back);
	}
	return rc;
}

static void take_turn(unsigned *turn, unsigned mine)
{
	unsigned now_is;

	while ((now_is = __atomic_load_n(turn, __ATOMIC_ACQUIRE)) != mine)
		syscall(SYS_futex, turn, FUTEX_WAIT, now_is, NULL, NULL, 0);
}

static void give_turn(unsigned *turn, unsigned other)
{
	__atomic_store_n(turn, other, __ATOMIC_RELEASE);
	syscall(SYS_futex, turn, FUTEX_WAKE, 1, NULL, NULL, 0);
}

int pong_futex_start(struct pong *p)
{
	int parent = getpid();

	*p = (struct pong){ .ask = -1, .answer = -1 };
	p->turn = mmap(NULL, sizeof(*p->turn), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (p->turn == MAP_FAILED)
		return -errno;
	p->pid = fork();
	if (p->pid == 0) {
		die_with_parent(parent);
		for (;;) {
			take_turn(p->turn, 1);
			give_turn(p->turn, 0);
		}
	}
	int error = errno;
	if (p->pid > 0)
		return 0;
	munmap(p->turn, sizeof(*p->turn));
	return -error;
}

void pong_end(struct pong *p)
{
	if (p->pid > 0) {
		kill(p->pid, SIGKILL);
		waitpid(p->pid, NULL, 0);
	}
	if (p->turn != NULL) {
		munmap(p->turn, sizeof(*p->turn));
		return;
	}
	close(p->ask);
	close(p->answer);
}

long long loop_pipe(struct pong *p, long count)
{
	long long begin = now();
	char byte = 0;

	for (long i = 0; i < count; i++) {
		ssize_t sent = write(p->ask, &byte, 1), got = sent == 1 ? read(p->answer, &byte, 1) : sent;
		if (got != 1)
			return got < 0 ? -errno : -EPIPE;	// the child is gone
	}
	return now() - begin;
}

long long loop_futex(struct pong *p, long count)
{
	long long begin = now();

	for (long i = 0; i < count; i++) {
		give_turn(p->turn, 1);
		take_turn(p->turn, 0);
	}
	return now() - begin;
}
