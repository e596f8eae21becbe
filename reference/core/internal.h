// What the core's C files say to each other and Python never sees.

// Load the extended state; 0 or a negated errno.
int tracee_write_xstate(struct tracee *t, void *buffer);
