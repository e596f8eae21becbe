// The init of User-Mode Linux: runs the program that its arguments name, then powers the machine off.
#include "start.h"

#define SIGCHLD 17
#define MAGIC 0xfee1dead, 672274793
#define POWER_OFF 0x4321fedc

static int work(unsigned long rounds, char **arguments)
{
	int status;
	long pid = call(__NR_clone, SIGCHLD, 0, 0, 0);

	(void)rounds;
	if (pid == 0) {
		call(__NR_execve, (long)arguments[1], (long)(arguments + 1), 0, 0);
		call(__NR_exit_group, 127, 0, 0, 0);
	}
	call(__NR_wait4, pid, (long)&status, 0, 0);
	call(__NR_reboot, MAGIC, POWER_OFF, 0);
	return 1;
}
