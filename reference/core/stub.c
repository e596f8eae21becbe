// The stub's page: its code is assembled here, and copied to where every child inherits it.
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core.h"

#define PAGE_SIZE 4096UL

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
	memcpy(page, stub_begin, (size_t)(stub_end - stub_begin));
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
// one below it.  The kernel maps nothing above 2^47 that was not asked for there.
// By its number, because ThreadSanitizer's munmap has no shadow for five levels.
unsigned long task_size(void)
{
	const unsigned long four_levels = (1UL << 47) - PAGE_SIZE, five_levels = (1UL << 56) - PAGE_SIZE;

	return syscall(SYS_munmap, five_levels - PAGE_SIZE, PAGE_SIZE) == 0 ? five_levels : four_levels;
}
