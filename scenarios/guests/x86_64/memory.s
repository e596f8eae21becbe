# Guests that read, write and call an address.

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

# Calls r13 with arguments in rdi, rsi and rdx, then reports.
	guest	call_function
	call	*%r13
	report
	end	call_function

# A function to call, which returns.
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

# Writes a word to each of rsi pages from rdi on, then reports.
	guest	touch_pages
1:	mov	%rsi, (%rdi)
	add	$4096, %rdi
	dec	%rsi
	jnz	1b
	report
	end	touch_pages

# Reads the time-stamp counter, then reports.
	guest	read_counter
	rdtsc
	report
	end	read_counter
