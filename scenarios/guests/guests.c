// Includes the guests' assembly, and ends a thread as a C program does.
#include <Python.h>
#include <pthread.h>
#include "guests.h"

#if defined(__x86_64__)
__asm__(".include \"guests_x86_64.s\"");
#else
#error "no guests for this architecture"
#endif

// Exported by every Python, and not in the headers of its stable ABI.
extern void PyThreadState_DeleteCurrent(void);

// The frames of a thread lie partly on its stack.  pthread_exit frees that, and
// from Python 3.12 on sys.settrace of another thread reads the frames of all.
void exit_thread(void)
{
	PyGILState_Ensure();
	PyThreadState_Clear(PyThreadState_Get());
	PyThreadState_DeleteCurrent();
	pthread_exit(NULL);
}
