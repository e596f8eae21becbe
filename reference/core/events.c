// A ring of the last ptrace events of all threads, for the post-mortem.  It is
// written without a lock, nor even a locked increment: two threads that come at
// once may spoil or lose an entry, and never anything else.  No time is kept:
// reading a clock would cost a switch more than all the rest of this.
#include "core.h"
#include "internal.h"

static struct ptrace_event ring[PTRACE_EVENTS_KEPT];
static unsigned long noted;

void ptrace_event_note(int tid, int request, long result)
{
	unsigned long number = __atomic_load_n(&noted, __ATOMIC_RELAXED);
	struct ptrace_event *event = &ring[number % PTRACE_EVENTS_KEPT];

	__atomic_store_n(&noted, number + 1, __ATOMIC_RELAXED);
	event->tid = tid;
	event->request = request;
	event->result = result;
}

int ptrace_events(struct ptrace_event *events)
{
	unsigned long end = __atomic_load_n(&noted, __ATOMIC_RELAXED);
	unsigned long begin = end > PTRACE_EVENTS_KEPT ? end - PTRACE_EVENTS_KEPT : 0;

	for (unsigned long i = begin; i < end; i++)
		events[i - begin] = ring[i % PTRACE_EVENTS_KEPT];
	return end - begin;
}
