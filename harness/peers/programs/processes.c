// Forks, executes this program with zero rounds in the child, and waits for it, once per round.
#include "start.h"

#define SIGCHLD 17

static int work(unsigned long rounds, char **arguments)
{
	char *nothing[] = {arguments[0], NULL};
	int status = 0;

	while (rounds--) {
		long pid = call(__NR_clone, SIGCHLD, 0, 0, 0);

		if (pid == 0) {
			call(__NR_close, 1, 0, 0, 0); // the child must print no time
			call(__NR_execve, (long)nothing[0], (long)nothing, 0, 0);
			call(__NR_exit_group, 127, 0, 0, 0);
		}
		if (pid < 0 || call(__NR_wait4, pid, (long)&status, 0, 0) != pid || status)
			return 1;
	}
	return 0;
}
