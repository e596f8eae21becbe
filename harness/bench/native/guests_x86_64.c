// The guests of native.h: one label a guest.  They are code here too, for the loops to run without a platform.
#include "native.h"

#define GUEST(name, code) \
	__asm__(".pushsection .text\n" \
		".globl guest_" #name "_begin, guest_" #name "_end\n" \
		".hidden guest_" #name "_begin, guest_" #name "_end\n" \
		"guest_" #name "_begin:\n" \
		code "\n" \
		"guest_" #name "_end:\n" \
		".popsection\n")

// 39 is __NR_getpid.  The number and the result share a register.
GUEST(getpid, "1: movl $39, %eax; syscall; jmp 1b");

GUEST(read, "1: movq (%rbx), %rax; jmp 1b");

GUEST(spin, "1: pause; jmp 1b");
