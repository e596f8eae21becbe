// The table of guests.  Both the compiler and cffi read this file, so it uses only what both understand.

// One guest: its name, and its code from `begin` up to `end`.
struct guest {
	const char *name;
	const unsigned char *begin;
	const unsigned char *end;
};

extern const struct guest guest_table[];
extern const size_t guest_count;

// End the calling thread by pthread_exit, after Python has forgotten its frames.  Does not return.
void exit_thread(void);
