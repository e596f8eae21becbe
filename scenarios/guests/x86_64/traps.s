# Guests that trap and fault.

# One trap or fault each, then reports.
	guest	int3
	int3
	report
	end	int3

	guest	int1
	.byte	0xf1
	report
	end	int1

	guest	ud2
	ud2
	report
	end	ud2

	guest	divide_by_zero
	xor	%edx, %edx
	xor	%ecx, %ecx
	mov	$1, %eax
	div	%ecx
	report
	end	divide_by_zero

	guest	hlt
	hlt
	report
	end	hlt

	guest	int_0x81
	int	$0x81
	report
	end	int_0x81

	guest	read_noncanonical
	movabs	$0x8000000000000000, %rdi
	mov	(%rdi), %rsi
	report
	end	read_noncanonical

# Divides the second word of its data by the third as floating-point numbers, by SSE and by x87, with the control word
# of either from the first; reports.
	guest	divide_by_sse
	ldmxcsr	(%rbx)
	movsd	8(%rbx), %xmm0
	divsd	16(%rbx), %xmm0
	report
	end	divide_by_sse

	guest	divide_by_x87
	fninit
	fldcw	(%rbx)
	fldl	8(%rbx)
	fdivl	16(%rbx)
	fstpl	24(%rbx)
	fwait
	report
	end	divide_by_x87

# Pushes a word, then reports.
	guest	push_word
	push	%rax
	report
	end	push_word

# Sets its own trap flag, does two instructions, a system call and one more, clears the flag and reports.
	guest	step_itself
	pushfq
	orq	$TRAP_FLAG, (%rsp)
	popfq
	nop
	nop
	mov	$GETPID, %eax
	syscall
	nop
	pushfq
	andq	$~TRAP_FLAG, (%rsp)
	popfq
	nop
	report
	end	step_itself

# Counts in the second word of its data until the first one is not zero, says so in the third, traps, and reports.
	guest	trap_when_told
1:	incq	8(%rbx)
	cmpq	$0, (%rbx)
	je	1b
	movq	$1, 16(%rbx)
	int3
	report
	end	trap_when_told
