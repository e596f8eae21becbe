"""Builds `worldswitch.reference._core`: what Python may see is core.h and the kernel's names listed here."""

from pathlib import Path

from cffi import FFI

#: Run from the checkout's root, as setuptools does.
HERE = Path("reference/core")

#: The kernel's names that Python needs; the compiler gives their values.
CONSTANTS = """
PTRACE_SEIZE PTRACE_INTERRUPT PTRACE_DETACH PTRACE_SYSCALL PTRACE_SYSEMU PTRACE_SYSEMU_SINGLESTEP PTRACE_CONT
PTRACE_GETREGS PTRACE_SETREGS PTRACE_POKEUSR PTRACE_GETREGSET PTRACE_SETREGSET PTRACE_GETSIGINFO PTRACE_PEEKSIGINFO
PTRACE_SETSIGMASK PTRACE_GET_SYSCALL_INFO PTRACE_EVENT_STOP PTRACE_O_TRACESYSGOOD PTRACE_O_EXITKILL
PTRACE_SYSCALL_INFO_ENTRY PTRACE_SYSCALL_INFO_EXIT NT_X86_XSTATE
CLONE_VM CLONE_FS CLONE_FILES CLONE_SIGHAND CLONE_THREAD CLONE_SYSVSEM __WALL
MAP_SHARED MAP_FIXED MAP_POPULATE
PR_SET_PDEATHSIG PR_SET_NO_NEW_PRIVS SECCOMP_SET_MODE_FILTER
SECCOMP_RET_ALLOW SECCOMP_RET_TRAP SECCOMP_RET_KILL_PROCESS SECCOMP_RET_ERRNO
AUDIT_ARCH_X86_64 AUDIT_ARCH_I386
SYS_read SYS_mmap SYS_munmap SYS_clone SYS_pause SYS_restart_syscall SYS_prctl SYS_seccomp SYS_setpgid SYS_getppid
SYS_rt_sigaction SYS_rt_sigprocmask SYS_getpid SYS_wait4 SYS_arch_prctl
SYS_sched_setscheduler SYS_setpriority
""".split()

INCLUDES = """
#include <elf.h>
#include <linux/audit.h>
#include <linux/ptrace.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include "core.h"
"""

ffibuilder = FFI()
ffibuilder.cdef("".join(f"#define {name} ...\n" for name in CONSTANTS))
ffibuilder.cdef((HERE / "core.h").read_text())
ffibuilder.set_source(
    "worldswitch.reference._core",
    INCLUDES,
    sources=[str(HERE / name) for name in ("stub.c", "fork.c", "tracee.c", "switch.c", "flight.c", "host.c")],
    depends=[str(HERE / name) for name in ("core.h", "internal.h", "stub_x86_64.s")],
    include_dirs=[str(HERE)],
    extra_compile_args=[
        *("-std=gnu17", "-O2", "-Wall", "-Wextra", "-Werror"),
        f"-Wa,-I,{HERE}",
    ],
)
