# The guests, a file a subject (x86_64/*.s): one label a guest, position-independent code that never runs past its end.
#
# A guest starts with the registers its scenario sets.  By convention
#	rbx	is the address of its data, which it shares with the scenario
#	rsp	is the end of its stack
#	rdi	is the address to access, if any
#	r12	counts, from the scenario's value on
# and "reports" means: it makes the system call getpid, for ever.

	.equ	GETPID, 39		# asm/unistd_64.h
	.equ	WRITE, 1
	.equ	GETPID_I386, 20		# asm/unistd_32.h
	.equ	TRAP_FLAG, 0x100	# asm/processor-flags.h: X86_EFLAGS_TF

	.macro	guest name
	.pushsection .data.rel.ro.guests, "aw", @progbits
	.quad	\name\()_name, \name\()_begin, \name\()_end
	.popsection
\name\()_name:
	.asciz	"\name"
\name\()_begin:
	.endm

	.macro	end name
\name\()_end:
	.endm

	.macro	report
8:	mov	$GETPID, %eax
	syscall
	jmp	8b
	.endm

	.pushsection .data.rel.ro.guests, "aw", @progbits
	.balign	8
	.globl	guest_table
	.hidden	guest_table
guest_table:
	.popsection

	.pushsection .rodata.guests, "a", @progbits
	.include "x86_64/calls.s"
	.include "x86_64/compat.s"
	.include "x86_64/kernel.s"
	.include "x86_64/gates.s"
	.include "x86_64/memory.s"
	.include "x86_64/processor.s"
	.include "x86_64/registers.s"
	.include "x86_64/traps.s"
	.popsection

	.pushsection .data.rel.ro.guests, "aw", @progbits
	.globl	guest_count
	.hidden	guest_count
guest_count:
	.quad	(guest_count - guest_table) / 24
	.popsection
