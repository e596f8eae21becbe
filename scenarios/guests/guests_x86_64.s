# What guests do: one label a guest, position-independent, ended by something that never runs past its end.
#
# A guest starts with the registers its scenario gives it.  By custom
#	rbx	is the address of its data, which it shares with the scenario
#	rsp	is the end of its stack
#	rdi	is the address it is to touch, where it is to touch one
#	r12	counts, from what the scenario put there
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

# Makes one system call, registers as given, then runs for ever.
	guest	syscall_once
	syscall
1:	jmp	1b
	end	syscall_once

# Makes the same system call for ever; its result is the next one's number.
	guest	syscall_loop
1:	syscall
	jmp	1b
	end	syscall_loop

# Counts its calls of getpid in r12 and in its data; hands the last result back as the next call's first argument.
	guest	getpid_loop
1:	mov	%rax, %rdi
	mov	$GETPID, %eax
	syscall
	inc	%r12
	mov	%r12, (%rbx)
	jmp	1b
	end	getpid_loop

# Writes the first eight bytes of its data to the file rdi for ever, counting in r12.
	guest	write_file_loop
1:	inc	%r12
	mov	%rbx, %rsi
	mov	$8, %edx
	mov	$WRITE, %eax
	syscall
	jmp	1b
	end	write_file_loop

# Counts in r12 and in its data, without a system call.
	guest	count_loop
1:	inc	%r12
	mov	%r12, (%rbx)
	jmp	1b
	end	count_loop

# Makes a system call with six arguments of 64 bits each.
	guest	six_arguments
	movabs	$0x1111111111111111, %rdi
	movabs	$0x2222222222222222, %rsi
	movabs	$0x3333333333333333, %rdx
	movabs	$0x4444444444444444, %r10
	movabs	$0x5555555555555555, %r8
	movabs	$0xf666666666666666, %r9
	mov	$GETPID, %eax
	syscall
1:	jmp	1b
	end	six_arguments

# Inverts every general register, so that each must have gone in and come out.
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

# Reads the word at rdi into rsi, then reports.
	guest	read_at
	mov	(%rdi), %rsi
	report
	end	read_at

# Writes rsi to the word at rdi, then reports.
	guest	write_at
	mov	%rsi, (%rdi)
	report
	end	write_at

# Reads the word at rdi into rsi and writes it back, in one instruction, then reports.
	guest	increment_at
	incq	(%rdi)
	report
	end	increment_at

# Calls rdi, then reports.
	guest	call_at
	call	*%rdi
	report
	end	call_at

# Calls r13, which finds its arguments in rdi, rsi and rdx, then reports.
	guest	call_function
	call	*%r13
	report
	end	call_function

# Returns to its caller; something to call.
	guest	return_only
	ret
	end	return_only

# Reads the word at rdi for ever, into rsi, and counts in its data.
	guest	read_loop
1:	mov	(%rdi), %rsi
	incq	(%rbx)
	jmp	1b
	end	read_loop

# Writes r12 to the word at rdi for ever, counting in r12.
	guest	write_loop
1:	inc	%r12
	mov	%r12, (%rdi)
	jmp	1b
	end	write_loop

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

# Makes the i386 system call getpid through int 0x80, from 64-bit code; then reports.
	guest	int80_getpid
	mov	$GETPID_I386, %eax
	int	$0x80
	report
	end	int80_getpid

# Makes a system call through int 0x80 with the registers as given, then reports.
	guest	int80_once
	int	$0x80
	report
	end	int80_once

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

# Puts its flags into rsi and reports.
	guest	read_flags
1:	pushfq
	pop	%rsi
	mov	$GETPID, %eax
	syscall
	jmp	1b
	end	read_flags

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

# Adds one to each word of xmm15 and to r12 between calls of getpid, and stores both into its data.
	guest	vector_loop
	mov	$1, %eax
	movq	%rax, %xmm14
	punpcklqdq	%xmm14, %xmm14
1:	inc	%r12
	paddq	%xmm14, %xmm15
	mov	%r12, (%rbx)
	movups	%xmm15, 16(%rbx)
	mov	$GETPID, %eax
	syscall
	jmp	1b
	end	vector_loop

# Adds one to each word of xmm15 and to r12 for ever, and stores both into its data.
	guest	vector_spin
	mov	$1, %eax
	movq	%rax, %xmm14
	punpcklqdq	%xmm14, %xmm14
1:	inc	%r12
	paddq	%xmm14, %xmm15
	mov	%r12, (%rbx)
	movups	%xmm15, 16(%rbx)
	jmp	1b
	end	vector_spin

# Keeps accounts of its calls of getpid: counts them in r12, in its data and in each word of xmm15, sums their results
# in r13, and has that sum and xmm15 in its data behind the count.
	guest	account_loop
	mov	$1, %eax
	movq	%rax, %xmm14
	punpcklqdq	%xmm14, %xmm14
1:	inc	%r12
	incq	(%rbx)
	paddq	%xmm14, %xmm15
	movups	%xmm15, 16(%rbx)
	mov	$GETPID, %eax
	syscall
	add	%rax, %r13
	mov	%r13, 8(%rbx)
	jmp	1b
	end	account_loop

	.popsection

	.pushsection .data.rel.ro.guests, "aw", @progbits
	.globl	guest_count
	.hidden	guest_count
guest_count:
	.quad	(guest_count - guest_table) / 24
	.popsection
