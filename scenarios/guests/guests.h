// The guests, as a table.  Both the compiler and cffi read this file as it stands, so it keeps to what both understand.

// One guest: its name, and its code from `begin` up to `end`.
struct guest {
	const char *name;
	const unsigned char *begin;
	const unsigned char *end;
};

extern const struct guest guest_table[];
extern const size_t guest_count;
