// Asks for the time again and again, by the system call: it writes to the caller's memory.
#include "start.h"

static int work(unsigned long rounds, char **arguments)
{
	long long last = now();

	(void)arguments;
	while (rounds--) {
		long long next = now();

		if (next < last)
			return 1;
		last = next;
	}
	return 0;
}
