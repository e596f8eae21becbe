"""Builds the C code of `worldswitch.scenarios.raw_ptrace`, and takes the kernel's constants from the compiler.

setup.py reads this file from the top of the checkout, so paths are relative to that.
"""

from pathlib import Path

from cffi import FFI

HERE = Path("scenarios/raw_ptrace")

CONSTANTS = """
PTRACE_ATTACH PTRACE_CONT PTRACE_DETACH PTRACE_GETEVENTMSG PTRACE_GETREGS PTRACE_GETREGSET PTRACE_GETSIGINFO
PTRACE_GETSIGMASK PTRACE_GET_RSEQ_CONFIGURATION PTRACE_GET_SYSCALL_INFO PTRACE_INTERRUPT PTRACE_LISTEN PTRACE_SEIZE
PTRACE_SETOPTIONS PTRACE_SETREGS PTRACE_SETREGSET PTRACE_SETSIGMASK PTRACE_SINGLESTEP PTRACE_SYSCALL PTRACE_SYSEMU
PTRACE_SYSEMU_SINGLESTEP
PTRACE_O_EXITKILL PTRACE_O_TRACEEXEC PTRACE_O_TRACEEXIT PTRACE_O_TRACESECCOMP PTRACE_O_TRACESYSGOOD
PTRACE_EVENT_EXEC PTRACE_EVENT_EXIT PTRACE_EVENT_SECCOMP PTRACE_EVENT_STOP
PTRACE_SYSCALL_INFO_ENTRY PTRACE_SYSCALL_INFO_EXIT PTRACE_SYSCALL_INFO_NONE
NT_PRSTATUS NT_X86_XSTATE
CLONE_FILES CLONE_FS CLONE_NEWPID CLONE_PTRACE CLONE_SIGHAND CLONE_SYSVSEM CLONE_THREAD CLONE_VM
__WALL __WNOTHREAD WNOHANG WUNTRACED
MAP_ANONYMOUS MAP_FIXED MAP_PRIVATE MAP_SHARED PROT_EXEC PROT_NONE PROT_READ PROT_WRITE
PR_GET_PDEATHSIG PR_SET_NO_NEW_PRIVS PR_SET_PDEATHSIG
SECCOMP_SET_MODE_FILTER SECCOMP_RET_ALLOW SECCOMP_RET_ERRNO SECCOMP_RET_KILL_PROCESS SECCOMP_RET_KILL_THREAD
SECCOMP_RET_LOG SECCOMP_RET_TRACE SECCOMP_RET_TRAP SECCOMP_RET_USER_NOTIF
AUDIT_ARCH_I386 AUDIT_ARCH_X86_64
SYS_arch_prctl SYS_clone SYS_execve SYS_exit SYS_exit_group SYS_futex SYS_get_robust_list SYS_getpid SYS_getppid
SYS_kill SYS_mmap SYS_mprotect SYS_munmap SYS_nanosleep SYS_pause SYS_pipe SYS_poll SYS_prctl SYS_prlimit64 SYS_ptrace
SYS_read SYS_restart_syscall SYS_rseq SYS_rt_sigprocmask SYS_rt_tgsigqueueinfo SYS_sched_getaffinity SYS_seccomp
SYS_set_robust_list SYS_set_tid_address SYS_setresuid SYS_sigaltstack SYS_tgkill SYS_timer_create SYS_timer_settime
SYS_wait4
""".split()

INCLUDES = """
#include <elf.h>
#include <linux/audit.h>
#include <linux/ptrace.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <linux/wait.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include "raw_ptrace.h"
"""

ffibuilder = FFI()
ffibuilder.cdef("".join(f"#define {name} ...\n" for name in CONSTANTS))
ffibuilder.cdef((HERE / "raw_ptrace.h").read_text())
ffibuilder.set_source(
    "worldswitch.scenarios.raw_ptrace._raw_ptrace",
    INCLUDES,
    sources=[str(HERE / "raw_ptrace.c")],
    include_dirs=[str(HERE)],
    depends=[str(HERE / "raw_ptrace.h"), str(HERE / "build.py")],
    extra_compile_args=["-std=gnu17", "-O2", "-Wall", "-Wextra", "-Werror"],
)
