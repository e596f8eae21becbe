// Calls clock_gettime, which writes to the caller's memory, once per round.
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
