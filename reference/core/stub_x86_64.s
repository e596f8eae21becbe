# The stub: all that is left of a stub process once everything else is unmapped.
# One page, position independent, no stack, no data.
#
#   entry   The group leader comes here from fork.c and reports by a trap.
#   call    Injected system calls: the tracer loads the registers and sets the
#           program counter here.  A thread made by an injected clone starts
#           behind the instruction, that is at `park`, so a clone that nobody
#           attached yet waits and cannot run on into anything else.
#   park    Threads that nobody traces wait here.  They have all signals
#           blocked; a SIGCONT or a handled stop only takes them once round.
#   bases   Sets the segment bases to rdi and rsi, which may be addresses that
#           only the instructions accept and PTRACE_SETREGS does not.
#   flags   Sets the flags to the word at rsp, for the one that PTRACE_SETREGS
#           does not write.  The tracer stops the thread at the call in `park`.
#   words   What rsp may point to: the ID flag clear, and set.
#
# The seccomp filter knows a call by the address behind its instruction: `park`
# for an injected one, `parked` for a parked thread's.

	.equ	SYS_pause, 34
	.equ	FLAGS, 0x202		# asm/processor-flags.h: IF and the bit that is always set
	.equ	ID, 0x200000

	.pushsection .rodata.stub, "a", @progbits
	.globl	stub_begin, stub_entry, stub_call, stub_park, stub_parked, stub_bases, stub_flags, stub_words, stub_end
	.hidden	stub_begin, stub_entry, stub_call, stub_park, stub_parked, stub_bases, stub_flags, stub_words, stub_end
	.balign	16
stub_begin:
stub_entry:
	int3
stub_call:
	syscall
stub_park:
	movl	$SYS_pause, %eax
	syscall
stub_parked:
	jmp	stub_park
stub_bases:
	wrfsbase	%rdi
	wrgsbase	%rsi
stub_flags:
	popfq
	jmp	stub_park
	.balign	8
stub_words:
	.quad	FLAGS, FLAGS | ID
stub_end:
	.popsection
