# Guests that make system calls, and those that only compute.

# Makes one system call with the registers as given, then loops for ever.
	guest	syscall_once
	syscall
1:	jmp	1b
	end	syscall_once

# Makes system calls for ever; each result is the next call's number.
	guest	syscall_loop
1:	syscall
	jmp	1b
	end	syscall_loop

# Counts its calls of getpid in r12 and in its data; the last result is the next call's first argument.
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

# Reports once.  Then it loads a call's number and six arguments from its data, counts in the word behind them that it
# got there, and jumps to the address in the word behind that.
	guest	leap
	mov	$GETPID, %eax
	syscall
	mov	8(%rbx), %rdi
	mov	16(%rbx), %rsi
	mov	24(%rbx), %rdx
	mov	32(%rbx), %r10
	mov	40(%rbx), %r8
	mov	48(%rbx), %r9
	mov	(%rbx), %rax
	incq	56(%rbx)
	jmp	*64(%rbx)
	end	leap

# Makes a system call with the registers as given, counts in its data that it returned, and loops for ever.
	guest	stray_call
	syscall
	incq	72(%rbx)
1:	jmp	1b
	end	stray_call

# Counts its calls of getpid in r12, in its data and in each word of xmm15, and sums their results in r13; stores that
# sum and xmm15 in its data behind the count.
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

# Runs through a page of nops for ever: counts its rounds in its data, with the zero flag set and all registers
# unchanged in the rest of the page.
	guest	nop_page
1:	.fill	4096 - 11, 1, 0x90
	incq	(%rbx)
	cmp	%rax, %rax
	jmp	1b
	end	nop_page
