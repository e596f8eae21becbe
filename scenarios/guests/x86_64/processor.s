# Guests that use features some processors lack.

# Runs CPUID with eax and ecx as given, and reports.
	guest	cpuid_once
	cpuid
	report
	end	cpuid_once

# Reads the words at the fs and gs bases into r8 and r9 and reports, for ever.
	guest	read_bases
1:	mov	%fs:0, %r8
	mov	%gs:0, %r9
	mov	$GETPID, %eax
	syscall
	jmp	1b
	end	read_bases

# Loads the selectors r12 and r13 into fs and gs and sets their bases to rdi and rsi; after a system call reads the bases
# into r14 and r15; makes another one.
	guest	load_selectors
1:	mov	%r12d, %fs
	mov	%r13d, %gs
	wrfsbase	%rdi
	wrgsbase	%rsi
	mov	$GETPID, %eax
	syscall
	rdfsbase	%r14
	rdgsbase	%r15
	mov	$GETPID, %eax
	syscall
	jmp	1b
	end	load_selectors

# Sets the protection keys' rights from its data and reports; stores them into its data and reports.
	guest	pkru_fill
	mov	(%rbx), %eax
	xor	%ecx, %ecx
	xor	%edx, %edx
	wrpkru
	report
	end	pkru_fill

	guest	pkru_store
	xor	%ecx, %ecx
	rdpkru
	mov	%eax, (%rbx)
	report
	end	pkru_store

# Configures the matrix tiles from its data and clears one (by bytes, for assemblers that do not know them); reports.
	guest	clear_tile
	.byte	0xc4, 0xe2, 0x78, 0x49, 0x03	# ldtilecfg (%rbx)
	.byte	0xc4, 0xe2, 0x7b, 0x49, 0xc0	# tilezero %tmm0
	report
	end	clear_tile
