"""The ptrace requests of the probes: a seized and stopped child, and a few requests on it.

This is not a platform and shares no code with one.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import mmap
import os
import platform
import signal
import struct
import threading
from collections.abc import Callable, Iterator

from worldswitch.harness.linux import processes, syscalls

SYSCALL_STOP = signal.SIGTRAP | 0x80  #: the signal of a system call stop with PTRACE_O_TRACESYSGOOD

#: The errno of a call that succeeds where it cannot; no errno has this number.
FAKED = 200

NO_SUCH_PID = 0x7FFF_FFFF  #: above PID_MAX_LIMIT (include/linux/threads.h)

OPTIONS = syscalls.PTRACE_O_EXITKILL | syscalls.PTRACE_O_TRACESYSGOOD


@contextlib.contextmanager
def child(prepare: Callable[[], object] = lambda: None) -> Iterator[int]:
    """A child that runs `prepare` and then loops in getppid(2); killed and reaped on exit."""
    parent = os.getpid()
    ready, tell = os.pipe()
    pid = processes.fork(lambda: _call_for_ever(parent, prepare, tell))
    try:
        os.close(tell)
        os.read(ready, 1)  # or EOF; the probe's deadline bounds this and the waits for a tracee
        os.close(ready)
        yield pid
    finally:
        processes.end(pid)  # no effect if `resume` reaped it


@contextlib.contextmanager
def stopped_child(prepare: Callable[[], object] = lambda: None) -> Iterator[int]:
    """A seized and stopped child, as of `child`."""
    with child(prepare) as pid:
        seize(pid)
        interrupt(pid)
        yield pid


def seize(pid: int) -> None:
    """Trace a process, which ends with this one."""
    _certain(syscalls.PTRACE_SEIZE, pid, OPTIONS)


def interrupt(pid: int) -> None:
    """Stop a seized tracee."""
    _certain(syscalls.PTRACE_INTERRUPT, pid)
    os.waitpid(pid, syscalls.WALL)


def _certain(request: int, pid: int, data: int = 0) -> None:
    """Make a request before a wait, which would not end if a filter only says that the request succeeds."""
    syscalls.ptrace(request, pid, 0, data)
    try:
        syscalls.ptrace(request, NO_SUCH_PID, 0, data)
    except OSError:
        return
    raise OSError(FAKED, f"ptrace request {request:#x} succeeds for a process that cannot exist")


def _call_for_ever(parent: int, prepare: Callable[[], object], tell: int) -> None:
    syscalls.die_with_parent(parent, signal.SIGKILL)
    prepare()
    os.close(tell)
    while True:
        os.getppid()


def resume(pid: int, request: int) -> str:
    """Resume `pid` by `request`, wait for its next stop and describe it; raises OSError if it ended."""
    _certain(request, pid)
    _, status = os.waitpid(pid, syscalls.WALL)
    if not os.WIFSTOPPED(status):
        raise OSError(0, f"the tracee ended with status {status:#x}")
    return f"stopped by signal {os.WSTOPSIG(status)}"


def run_to_syscall(pid: int, request: int) -> str:
    """Resume `pid` by `request` to a system call stop; raises OSError at any other stop."""
    stop = resume(pid, request)
    if stop != f"stopped by signal {SYSCALL_STOP}":
        raise OSError(0, f"expected a system call stop, got {stop}")
    return "stopped at a system call"


def syscall_result(pid: int) -> int:
    """The register that carries the result of a tracee's system call."""
    if platform.machine() != "x86_64":
        raise OSError(errno.ENOSYS, f"the result register of {platform.machine()} is not known")
    buffer = ctypes.create_string_buffer(512)
    syscalls.ptrace(syscalls.PTRACE_GETREGS, pid, 0, ctypes.addressof(buffer))
    return int(struct.unpack_from("=q", buffer, 80)[0])  # struct user_regs_struct: rax


def syscall_info(pid: int) -> str:
    """Make PTRACE_GET_SYSCALL_INFO of a tracee at a system call entry; raises OSError if it reports another stop."""
    buffer = ctypes.create_string_buffer(128)
    size = syscalls.ptrace(syscalls.PTRACE_GET_SYSCALL_INFO, pid, len(buffer), ctypes.addressof(buffer))
    if buffer.raw[0] != syscalls.PTRACE_SYSCALL_INFO_ENTRY:
        raise OSError(0, f"PTRACE_GET_SYSCALL_INFO reports {buffer.raw[0]} at a system call entry")
    return f"PTRACE_GET_SYSCALL_INFO fills {size} bytes"


def rewrite_syscall(pid: int) -> str:
    """Write what PTRACE_GET_SYSCALL_INFO returns back by PTRACE_SET_SYSCALL_INFO."""
    buffer = ctypes.create_string_buffer(128)
    address = ctypes.addressof(buffer)
    syscalls.ptrace(syscalls.PTRACE_GET_SYSCALL_INFO, pid, len(buffer), address)
    syscalls.ptrace(syscalls.PTRACE_SET_SYSCALL_INFO, pid, len(buffer), address)
    return "PTRACE_SET_SYSCALL_INFO accepts what PTRACE_GET_SYSCALL_INFO returns"


def regset(pid: int, number: int) -> bytes:
    """A register set, by its ELF note number (include/uapi/linux/elf.h)."""
    buffer = ctypes.create_string_buffer(1 << 16)
    vector = syscalls.Iovec(ctypes.addressof(buffer), len(buffer))
    syscalls.ptrace(syscalls.PTRACE_GETREGSET, pid, number, ctypes.addressof(vector))
    return buffer.raw[: vector.length]


def rseq_area(pid: int) -> tuple[int, int]:
    """The address of a tracee's rseq area, 0 if none is registered, and its size in bytes."""
    buffer = ctypes.create_string_buffer(24)  # struct ptrace_rseq_configuration
    syscalls.ptrace(syscalls.PTRACE_GET_RSEQ_CONFIGURATION, pid, len(buffer), ctypes.addressof(buffer))
    area, size = struct.unpack_from("<QI", buffer)
    return area, size


def xstate_size(pid: int) -> int:
    """The size of the kernel's XSAVE image in bytes."""
    return len(regset(pid, syscalls.NT_X86_XSTATE))


def xstate_components(pid: int) -> int:
    """The XFEATURE mask of that image, which the kernel writes into its software-reserved bytes."""
    (components,) = struct.unpack_from("=Q", regset(pid, syscalls.NT_X86_XSTATE), 464)
    return int(components)


# struct sock_filter, in include/uapi/linux/filter.h; the values of seccomp in include/uapi/linux/seccomp.h
_LOAD_NUMBER, _ALLOW = (0x20, 0, 0, 0), (0x06, 0, 0, 0x7FFF0000)
_ERRNO = 0x00050000


def install_filter(*instructions: tuple[int, int, int, int], everywhere: bool = False) -> None:
    """Install a seccomp filter that allows calls not decided by `instructions`; in all threads if `everywhere`."""
    syscalls.prctl(syscalls.PR_SET_NO_NEW_PRIVS, 1)
    lines = [*instructions, _ALLOW]
    program = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *line) for line in lines))
    header = ctypes.create_string_buffer(struct.pack("@HP", len(lines), ctypes.addressof(program)))
    if everywhere:  # SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC
        syscalls.syscall(syscalls.SECCOMP[platform.machine()], 1, 1, ctypes.addressof(header))
    else:
        syscalls.prctl(syscalls.PR_SET_SECCOMP, 2, ctypes.addressof(header))  # SECCOMP_MODE_FILTER


_NOTIFY = 0x7FC00000
NEW_LISTENER, WAIT_KILLABLE = 1 << 3, 1 << 5  # SECCOMP_FILTER_FLAG_*; the second since Linux 5.19


def notify_of_everything() -> None:
    """Make every further system call of this process and its children wait for the filter's listener.

    The listener is the lowest free descriptor.  Signals do not interrupt the wait if the kernel supports that.
    """
    syscalls.prctl(syscalls.PR_SET_NO_NEW_PRIVS, 1)
    program = ctypes.create_string_buffer(struct.pack("=HBBI", 0x06, 0, 0, _NOTIFY))
    header = ctypes.create_string_buffer(struct.pack("@HP", 1, ctypes.addressof(program)))
    number = syscalls.SECCOMP[platform.machine()]
    try:
        syscalls.syscall(number, 1, NEW_LISTENER | WAIT_KILLABLE, ctypes.addressof(header))
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        syscalls.syscall(number, 1, NEW_LISTENER, ctypes.addressof(header))


def forbid(number: int, answer: int) -> None:
    """Make the system call of this number fail with the errno `answer` from now on."""
    install_filter(_LOAD_NUMBER, (0x15, 0, 1, number), (0x06, 0, 0, _ERRNO | answer))


def getpid_by_int80() -> int:
    """Call getpid(2) by int 0x80; on a kernel without that entry the process dies of SIGSEGV."""
    return run_code(bytes.fromhex("b814000000 cd80 c3"))  # mov $__NR_getpid, %eax; int $0x80; ret


def run_code(code: bytes) -> int:
    """Run machine code as a function in this process and return its result."""
    memory = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    memory.write(code)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    return int(ctypes.CFUNCTYPE(ctypes.c_int)(address)())


def queue_signal_to_self() -> None:
    """Queue SIGUSR1 with a value to the calling thread by rt_tgsigqueueinfo(2)."""
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    # siginfo_t: si_signo, si_errno, si_code = SI_QUEUE, padding, si_pid, si_uid (include/uapi/asm-generic/siginfo.h)
    siginfo = struct.pack("=iiiiiI", signal.SIGUSR1, 0, -1, 0, os.getpid(), os.getuid()).ljust(128, b"\0")
    buffer = ctypes.create_string_buffer(siginfo, 128)
    number = syscalls.RT_TGSIGQUEUEINFO[platform.machine()]
    syscalls.syscall(number, os.getpid(), threading.get_native_id(), signal.SIGUSR1, ctypes.addressof(buffer))
