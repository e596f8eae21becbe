// The flight recorder: the last ptrace events of all threads of this process,
// in memory that another process reads when this one may be stuck or dead.
// A number is drawn by one locked increment, the place for it claimed by one
// exchange of the place's number, and the event written without a lock.
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "core.h"
#include "internal.h"

static struct flight_ring *ring;
static __thread int self;	// asking the kernel for it would double the cost of an event
static int forks_are_watched;

static void forget_self(void)
{
	self = 0;
}

__attribute__((constructor)) static void watch_forks(void)
{
	forks_are_watched = pthread_atfork(NULL, NULL, forget_self) == 0;
}

static int own_tid(void)
{
	if (self == 0 || !forks_are_watched)
		self = (int)syscall(SYS_gettid);
	return self;
}

int flight_record(struct flight_ring *to)
{
	if (to != NULL && to->event_size != sizeof(struct flight_event))
		return -EINVAL;
	__atomic_store_n(&ring, to, __ATOMIC_RELEASE);
	return 0;
}

// NULL if another thread writes to the place, or has written a later event
// there: this one was held up for as long as the ring takes to come round.
static struct flight_event *claim(struct flight_ring *r, unsigned long capacity, unsigned long *number)
{
	*number = __atomic_fetch_add(&r->noted, 1, __ATOMIC_RELAXED) + 1;
	struct flight_event *event = &r->events[(*number - 1) % capacity];
	unsigned long before = __atomic_load_n(&event->number, __ATOMIC_RELAXED);

	if (before >= *number || !__atomic_compare_exchange_n(&event->number, &before, *number | FLIGHT_WRITING, 0,
							      __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
		return NULL;
	return event;
}

void flight_note(int tid, int request, long result, enum flight_registers has, const struct registers *registers,
		 const void *about)
{
	struct flight_ring *r = __atomic_load_n(&ring, __ATOMIC_ACQUIRE);
	unsigned long capacity = r == NULL ? 0 : __atomic_load_n(&r->capacity, __ATOMIC_RELAXED);
	struct timespec now;
	unsigned long number;

	if (capacity == 0)
		return;
	struct flight_event *event = claim(r, capacity, &number);
	if (event == NULL)
		return;
	clock_gettime(CLOCK_MONOTONIC, &now);
	event->nanoseconds = now.tv_sec * 1000000000UL + now.tv_nsec;
	event->tracer = own_tid();
	event->tid = tid;
	event->request = request;
	event->has_registers = (short)has;
	event->has_about = about == NULL ? 0 : 1;
	event->result = result;
	if (has == FLIGHT_ALL_REGISTERS)
		event->registers = *registers;
	else if (has == FLIGHT_RESULT_REGISTER)
		event->registers.rax = registers->rax;
	if (about != NULL)
		memcpy(event->about, about, sizeof(event->about));
	__atomic_store_n(&event->number, number, __ATOMIC_RELEASE);
}
