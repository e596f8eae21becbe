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
#
# The seccomp filter knows a call by the address behind its instruction: `park`
# for an injected one, `parked` for a parked thread's.

	.equ	SYS_pause, 34

	.pushsection .rodata.stub, "a", @progbits
	.globl	stub_begin, stub_entry, stub_call, stub_park, stub_parked, stub_end
	.hidden	stub_begin, stub_entry, stub_call, stub_park, stub_parked, stub_end
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
stub_end:
	.popsection
