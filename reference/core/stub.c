// The stub's page: has its code assembled, and puts it where every child inherits it.
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "core.h"

#if defined(__x86_64__)
__asm__(".include \"stub_x86_64.s\"");
#else
#error "no stub for this architecture"
#endif

int stub_install(unsigned long address, unsigned long length)
{
	void *page = mmap((void *)address, length, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	if (page == MAP_FAILED)
		return -errno;
	if ((unsigned long)page != address) {	// before 4.17 the flag is a hint
		munmap(page, length);
		return -EEXIST;
	}
	memcpy(page, stub_begin, stub_end - stub_begin);
	if (mprotect(page, length, PROT_READ | PROT_EXEC) != 0) {
		int error = errno;
		munmap(page, length);
		return -error;
	}
	return 0;
}

int stub_remove(unsigned long address, unsigned long length)
{
	return munmap((void *)address, length) == 0 ? 0 : -errno;
}

// munmap refuses a range beyond the end of user addresses and accepts an empty
// one before it; nothing is ever mapped on these two pages without asking.
unsigned long task_size(void)
{
	const unsigned long five_levels = (1UL << 56) - 4096;

	if (munmap((void *)(five_levels - 4096), 4096) == 0)
		return five_levels;
	return (1UL << 47) - 4096;
}
