# Guests that show or change every register.

# Inverts every general register, so that each must be loaded and saved.
	.macro	twiddle
	.irp	register, rax, rbx, rcx, rdx, rsi, rdi, rbp, rsp, r8, r9, r10, r11, r12, r13, r14, r15
	not	%\register
	.endr
	.endm

# ... before each system call.
	guest	twiddle_syscall
1:	twiddle
	syscall
	jmp	1b
	end	twiddle_syscall

# ... before each fault.
	guest	twiddle_fault
1:	twiddle
	ud2
	jmp	1b
	end	twiddle_fault

# Puts its flags into rsi and reports.
	guest	read_flags
1:	pushfq
	pop	%rsi
	mov	$GETPID, %eax
	syscall
	jmp	1b
	end	read_flags

# Sets its flags to rdi, makes a system call, puts them into rsi and reports, for ever.
	guest	load_flags
1:	push	%rdi
	popfq
	mov	$GETPID, %eax
	syscall
	pushfq
	pop	%rsi
	mov	$GETPID, %eax
	syscall
	jmp	1b
	end	load_flags

# Fills the vector registers from its data, then reports; stores them into its data, then reports.
	.macro	vectors instruction, register, size, count, direction
	.altmacro
	.set	i, 0
	.rept	\count
	vector	\instruction, \register, %i, \size, \direction
	.set	i, i + 1
	.endr
	.noaltmacro
	.endm

	.macro	vector instruction, register, index, size, direction
	.ifc	\direction, fill
	\instruction	\index * \size\()(%rbx), %\register\index
	.else
	\instruction	%\register\index, \index * \size\()(%rbx)
	.endif
	.endm

	.macro	extended_states direction
	guest	xmm_\direction
	vectors	movups, xmm, 16, 16, \direction
	report
	end	xmm_\direction

	guest	ymm_\direction
	vectors	vmovups, ymm, 32, 16, \direction
	report
	end	ymm_\direction

	guest	zmm_\direction
	vectors	vmovups, zmm, 64, 32, \direction
	report
	end	zmm_\direction

	.endm

	extended_states	fill
	extended_states	store

# Sets the SSE control word from its data and reports; stores it into its data and reports.
	guest	mxcsr_fill
	ldmxcsr	(%rbx)
	report
	end	mxcsr_fill

	guest	mxcsr_store
	stmxcsr	(%rbx)
	report
	end	mxcsr_store
