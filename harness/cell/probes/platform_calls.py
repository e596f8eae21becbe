"""The probe of the system calls that a platform makes in its own process, and in a child on the way into a stub."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import mmap
import os
import signal
import struct
import threading

from worldswitch.harness.cell.probes import Look, calls
from worldswitch.harness.cell.probes.calls import Call
from worldswitch.harness.linux import syscalls
from worldswitch.harness.linux.ptrace import FAKED, NO_SUCH_PID

# arch/x86/entry/syscalls/syscall_64.tbl
MPROTECT, PAUSE, SETPGID, PRCTL, ARCH_PRCTL = 10, 34, 109, 157, 158
SCHED_SETAFFINITY, SCHED_GETAFFINITY, RESTART_SYSCALL, TGKILL, SECCOMP, MEMFD_CREATE = 203, 204, 219, 234, 317, 319

ARCH_SHSTK_DISABLE, ARCH_SHSTK_SHSTK = 0x5002, 1  # arch/x86/include/uapi/asm/prctl.h
SECCOMP_SET_MODE_FILTER = 1  # include/uapi/linux/seccomp.h
ALLOW_ALL = struct.pack("=HBBI", 0x06, 0, 0, 0x7FFF_0000)  # BPF_RET | BPF_K, SECCOMP_RET_ALLOW
MASK_SIZE = 1024  #: of a cpu_set_t: 8192 CPUs, the most of any kernel


def _make_code() -> None:
    """Write to anonymous memory, then make it executable, as for a stub's page."""
    page = mmap.mmap(-1, mmap.PAGESIZE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    address = ctypes.addressof(ctypes.c_char.from_buffer(page))
    syscalls.syscall(MPROTECT, address, mmap.PAGESIZE, mmap.PROT_READ | mmap.PROT_EXEC)


def _pause() -> None:
    signal.signal(signal.SIGALRM, lambda *_: None)
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)  # again, in case the first comes before the call
    _expect(errno.EINTR, PAUSE)
    signal.setitimer(signal.ITIMER_REAL, 0)


def _expect(number: int, call: int, *arguments: int) -> None:
    """Make a call that fails with this errno where no policy denies it."""
    try:
        syscalls.syscall(call, *arguments)
    except OSError as error:
        if error.errno != number:
            raise
        return
    raise OSError(FAKED, f"system call {call} succeeds")


def _install_a_filter() -> None:
    syscalls.prctl(syscalls.PR_SET_NO_NEW_PRIVS, 1)
    program = ctypes.create_string_buffer(ALLOW_ALL)
    header = ctypes.create_string_buffer(struct.pack("@HP", 1, ctypes.addressof(program)))
    syscalls.syscall(SECCOMP, SECCOMP_SET_MODE_FILTER, 0, ctypes.addressof(header))


def _affinity() -> ctypes.Array[ctypes.c_char]:
    """The CPUs of this thread, as a mask; Python's function tries again for ever after some errors."""
    mask = ctypes.create_string_buffer(MASK_SIZE)
    syscalls.syscall(SCHED_GETAFFINITY, 0, MASK_SIZE, ctypes.addressof(mask))
    return mask


def _keep_affinity() -> None:
    mask = _affinity()
    syscalls.syscall(SCHED_SETAFFINITY, 0, MASK_SIZE, ctypes.addressof(mask))


def _disable_shadow_stack() -> None:
    """Its result does not matter: a kernel may lack shadow stacks, or a C library lock them."""
    with contextlib.suppress(OSError):
        syscalls.syscall(ARCH_PRCTL, ARCH_SHSTK_DISABLE, ARCH_SHSTK_SHSTK)


_NOBODY = (NO_SUCH_PID, NO_SUCH_PID, 0)
PDEATHSIG, NO_NEW_PRIVS = syscalls.PR_SET_PDEATHSIG, syscalls.PR_SET_NO_NEW_PRIVS

#: Every call of the reference but those that a stub makes later, and that any Python program makes.
CALLS = (
    Call("memfd_create", lambda: os.close(os.memfd_create("worldswitch-probe")), MEMFD_CREATE, (0, 0), errno.EFAULT),
    Call(
        "mprotect(PROT_EXEC) of anonymous memory",
        _make_code,
        MPROTECT,
        (mmap.PAGESIZE, mmap.PAGESIZE, mmap.PROT_READ | mmap.PROT_EXEC),  # below any mmap_min_addr but 0
        errno.ENOMEM,
        makes_code=True,
    ),
    Call("prctl(PR_SET_PDEATHSIG)", lambda: syscalls.prctl(PDEATHSIG, signal.SIGKILL), PRCTL, (PDEATHSIG, 1000)),
    Call("setpgid", lambda: os.setpgid(0, 0), SETPGID, (NO_SUCH_PID, 0), errno.ESRCH),
    Call("arch_prctl(ARCH_SHSTK_DISABLE)", _disable_shadow_stack, ARCH_PRCTL, ()),
    Call("pause", _pause, PAUSE, ()),
    Call("restart_syscall", lambda: _expect(errno.EINTR, RESTART_SYSCALL), RESTART_SYSCALL, (0,), errno.EINTR),
    Call(
        "tgkill",
        lambda: syscalls.syscall(TGKILL, os.getpid(), threading.get_native_id(), 0),
        TGKILL,
        _NOBODY,
        errno.ESRCH,
    ),
    Call("sched_getaffinity", _affinity, SCHED_GETAFFINITY, (NO_SUCH_PID, 8, 0), errno.ESRCH),
    Call("sched_setaffinity", _keep_affinity, SCHED_SETAFFINITY, (0, 8, 1), errno.EFAULT),
    Call("prctl(PR_SET_NO_NEW_PRIVS)", lambda: syscalls.prctl(NO_NEW_PRIVS, 1), PRCTL, (NO_NEW_PRIVS, 2)),
    Call("seccomp", _install_a_filter, SECCOMP, (SECCOMP_SET_MODE_FILTER, 0, 0), errno.EFAULT),
)


def _platform_calls() -> str:
    calls.make_all(CALLS)
    return f"{len(CALLS)} system calls that platforms make"


#: The probe of this file, by its name in a scenario's ``needs``.
PROBES: dict[str, Look] = {"platform_calls": _platform_calls}
