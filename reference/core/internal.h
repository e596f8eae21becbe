// What the core's C files share with each other and hide from Python.

// The request of an event that is a wait; 0 is PTRACE_TRACEME.
#define FLIGHT_WAIT (-1)

// A flag in the number of an event that is being written.
#define FLIGHT_WRITING (1UL << 63)

// Note an event.  `registers` may be NULL if `has` is FLIGHT_NO_REGISTERS; `about` may be NULL.
void flight_note(int tid, int request, long result, enum flight_registers has, const struct registers *registers,
		 const void *about);

// tracee_wait, but the caller notes the result.
int tracee_wait_unnoted(int tid, int options, int *status);

// tracee_request for a request that resumes after these registers were loaded.
long tracee_resume(int request, int tid, enum flight_registers loaded, const struct registers *registers);

// Read or load the extended state by PTRACE_GETREGSET or PTRACE_SETREGSET; 0
// or a negated errno, -EIO if the kernel transferred less than all of it.
int tracee_transfer_xstate(int request, struct tracee *t, void *buffer);
