// From fork to stub.  The child shares only file descriptors with its parent
// and runs in a copy of a process with many threads: no allocation, no lock, no
// libc, no errno, no return.
#define _GNU_SOURCE
#include <sys/syscall.h>

#include "core.h"

// The child has no libc, so neither a stack protector's nor a sanitizer's runtime.
#define CHILD_CODE __attribute__((no_stack_protector, no_sanitize("all")))

CHILD_CODE static inline __attribute__((always_inline)) long raw_syscall(long number, const unsigned long *a)
{
	register unsigned long r10 __asm__("r10") = a[3];
	register unsigned long r8 __asm__("r8") = a[4];
	register unsigned long r9 __asm__("r9") = a[5];
	long result;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(number), "D"(a[0]), "S"(a[1]), "d"(a[2]), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return result;
}

CHILD_CODE static __attribute__((noreturn))
void enter_stub(const struct step *steps, int count, struct boot *boot, unsigned long entry)
{
	for (int i = 0; i < count; i++) {
		boot->step = i;
		boot->result = raw_syscall(steps[i].number, steps[i].arguments);
		if (steps[i].checked && boot->result != steps[i].expected) {
			const unsigned long status[6] = { 1 };
			for (;;)
				raw_syscall(SYS_exit_group, status);
		}
	}
	boot->step = count;
	__asm__ volatile("jmp *%0" : : "r"(entry) : "memory");
	__builtin_unreachable();
}

// clone, because fork(3) runs handlers and leaves a clear_child_tid and a robust
// list, through which the kernel would write into guest memory when the thread
// ends.  Not clone3: container engines answer ENOSYS.
CHILD_CODE
int stub_fork(unsigned long flags, const struct step *steps, int count, struct boot *boot, unsigned long entry)
{
	const unsigned long arguments[6] = { flags };
	long pid = raw_syscall(SYS_clone, arguments);

	if (pid == 0)
		enter_stub(steps, count, boot, entry);
	return (int)pid;
}
