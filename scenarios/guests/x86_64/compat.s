# Guests that leave 64-bit mode, and guests that make one call through one of the entries to the kernel.
#
# Both end in an invalid instruction: some processors lack some entries in some modes, and a call that a platform lets
# through shows there.  Code, data and stack are below 4 GiB.

	.equ	CODE_32, 0x23		# asm/segment.h: __USER32_CS
	.equ	DATA, 0x2b		# __USER_DS

# Continues in the 32-bit code segment behind this, with the same stack pointer.  That mode uses ds, which is null in
# 64-bit programs.
	.macro	leave_64_bits
	mov	$DATA, %r11d
	mov	%r11d, %ds
	lea	9f(%rip), %r11
	pushq	$CODE_32
	push	%r11
	lretq
	.code32
9:
	.endm

# One call each from 32-bit code, with the registers as given.
	guest	compat_int80
	leave_64_bits
	int	$0x80
	ud2
	.code64
	end	compat_int80

	guest	compat_syscall
	leave_64_bits
	.byte	0x0f, 0x05		# syscall
	ud2
	.code64
	end	compat_syscall

	guest	compat_sysenter
	leave_64_bits
	sysenter
	ud2
	.code64
	end	compat_sysenter

# Reads the word at edi into esi.
	guest	compat_read
	leave_64_bits
	mov	(%edi), %esi
	ud2
	.code64
	end	compat_read

# One call each from 64-bit code, with the registers as given.
	guest	door_syscall
	syscall
	ud2
	end	door_syscall

	guest	door_int80
	int	$0x80
	ud2
	end	door_int80

	guest	door_sysenter
	sysenter
	ud2
	end	door_sysenter

# Calls r13.
	guest	door_call
	call	*%r13
	ud2
	end	door_call
