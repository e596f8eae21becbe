// Runtime of a program without a C library: entry point, system calls, and the line that reports the time.
//
// Each program repeats its work as often as its first argument says, then prints one line:
//
//     worldswitch-program ROUNDS NANOSECONDS
#pragma once

#include <asm/unistd.h>
#include <linux/time.h>
#include <stddef.h>

static inline long call(long number, long a, long b, long c, long d)
{
	long result;
	register long r10 __asm__("r10") = d;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10)
			 : "rcx", "r11", "memory");
	return result;
}

static inline long long now(void)
{
	struct timespec t = {0};

	// Not through the vDSO: some peers have none.
	call(__NR_clock_gettime, CLOCK_MONOTONIC, (long)&t, 0, 0);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static inline char *decimal(char *end, unsigned long long value)
{
	do
		*--end = '0' + value % 10;
	while (value /= 10);
	return end;
}

static void write_out(const char *text, size_t length)
{
	call(__NR_write, 1, (long)text, length, 0);
}

static void report(unsigned long rounds, long long spent)
{
	char text[64] = "worldswitch-program ";
	char digits[24];
	size_t length = 20;

	for (char *c = decimal(digits + 24, rounds); c < digits + 24; c++)
		text[length++] = *c;
	text[length++] = ' ';
	for (char *c = decimal(digits + 24, spent); c < digits + 24; c++)
		text[length++] = *c;
	text[length++] = '\n';
	write_out(text, length);
}

// Does the work `rounds` times; returns 0 on success.
static int work(unsigned long rounds, char **arguments);

__attribute__((used)) static void begin(long *stack)
{
	char **arguments = (char **)(stack + 1);
	unsigned long rounds = 0;

	for (const char *c = stack[0] > 1 ? arguments[1] : ""; *c; c++)
		rounds = rounds * 10 + (*c - '0');

	long long before = now();
	int failed = work(rounds, arguments);
	long long spent = now() - before;

	if (!failed)
		report(rounds, spent);
	call(__NR_exit_group, failed, 0, 0, 0);
	__builtin_unreachable();
}

__asm__(".globl _start\n"
	"_start:	xorl	%ebp, %ebp\n"
	"	movq	%rsp, %rdi\n"
	"	andq	$-16, %rsp\n"
	"	call	begin\n");
