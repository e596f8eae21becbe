# A guest that runs without a call while its gate is closed.

# Counts as `account_loop` does, and waits at a gate before each call: while the word at rbx + 72 is not zero, it loops
# and counts its rounds in the word at rbx + 64.
	guest	gate_loop
	mov	$1, %eax
	movq	%rax, %xmm14
	punpcklqdq	%xmm14, %xmm14
1:	inc	%r12
	incq	(%rbx)
	paddq	%xmm14, %xmm15
	movups	%xmm15, 16(%rbx)
2:	incq	64(%rbx)
	cmpq	$0, 72(%rbx)
	jne	2b
	mov	$GETPID, %eax
	syscall
	add	%rax, %r13
	mov	%r13, 8(%rbx)
	jmp	1b
	end	gate_loop
