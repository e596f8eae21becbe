// Opens its own file, reads a page and closes it, once per round.
#include "start.h"

#define OPEN_READ_ONLY 0

static char page[4096];

static int work(unsigned long rounds, char **arguments)
{
	while (rounds--) {
		long file = call(__NR_open, (long)arguments[0], OPEN_READ_ONLY, 0, 0);

		if (file < 0)
			return 1;
		long length = call(__NR_read, file, (long)page, sizeof page, 0);

		if (length <= 0 || page[1] != 'E' || call(__NR_close, file, 0, 0, 0))
			return 1;
	}
	return 0;
}
