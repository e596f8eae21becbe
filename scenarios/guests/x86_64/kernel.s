# Guests that show what the kernel itself does.

# Makes one system call with the registers as given, and traps.
	guest	call_and_trap
	syscall
	int3
	jmp	.
	end	call_and_trap

# Traps at its first instruction but not two bytes later, where a system call that began there would end.
	guest	trap_or_not
	int3
	nop
	ud2
	end	trap_or_not

# Runs nops, then makes a system call.
	guest	nops
	nop
	nop
	nop
	report
	end	nops

# Removes access from every second page between rdi and r13, until the kernel refuses; counts in r12, then traps.
	guest	stripes
1:	mov	$10, %eax		# asm/unistd_64.h: mprotect
	mov	$4096, %esi
	xor	%edx, %edx
	syscall
	test	%rax, %rax
	jnz	2f
	inc	%r12
	add	$8192, %rdi
	cmp	%r13, %rdi
	jb	1b
2:	int3
	end	stripes
