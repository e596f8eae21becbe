// What the core's C files say to each other and Python never sees.

// Keep an event for ptrace_events.
void ptrace_event_note(int tid, int request, long result);

// Load the extended state; 0 or a negated errno.
int tracee_write_xstate(struct tracee *t, void *buffer);
