"""Just enough of ptrace for the probes: a child of one's own, seized and stopped, and a few requests on it.

This is no platform and shares no code with one.
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

SYSCALL_STOP = signal.SIGTRAP | 0x80  #: what PTRACE_O_TRACESYSGOOD makes of it


@contextlib.contextmanager
def stopped_child(prepare: Callable[[], object] = lambda: None) -> Iterator[int]:
    """A child that prepares and makes system calls for ever, seized and stopped; killed and reaped in the end."""
    parent = os.getpid()
    ready, tell = os.pipe()
    pid = processes.fork(lambda: _call_for_ever(parent, prepare, tell))
    try:
        os.close(tell)
        os.read(ready, 1)  # or its end; this and the waits for a tracee are bounded by the deadline of the probe
        os.close(ready)
        options = syscalls.PTRACE_O_EXITKILL | syscalls.PTRACE_O_TRACESYSGOOD
        syscalls.ptrace(syscalls.PTRACE_SEIZE, pid, 0, options)
        syscalls.ptrace(syscalls.PTRACE_INTERRUPT, pid)
        os.waitpid(pid, syscalls.WALL)
        yield pid
    finally:
        processes.end(pid)  # which may have been reaped: `resume` sees it end


def _call_for_ever(parent: int, prepare: Callable[[], object], tell: int) -> None:
    syscalls.die_with_parent(parent, signal.SIGKILL)
    prepare()
    os.close(tell)
    while True:
        os.getppid()


def resume(pid: int, request: int) -> str:
    """Let `pid` go on by `request` until its next stop."""
    syscalls.ptrace(request, pid)
    _, status = os.waitpid(pid, syscalls.WALL)
    if not os.WIFSTOPPED(status):
        raise OSError(0, f"the tracee ended with status {status:#x}")
    return f"stopped by signal {os.WSTOPSIG(status)}"


def run_to_syscall(pid: int, request: int) -> str:
    """Let `pid` go on by `request` up to a system call."""
    said = resume(pid, request)
    if said != f"stopped by signal {SYSCALL_STOP}":
        raise OSError(0, f"no stop at a system call but {said}")
    return "stopped at a system call"


def syscall_result(pid: int) -> int:
    """What stands where a tracee's system call leaves its result."""
    if platform.machine() != "x86_64":
        raise OSError(errno.ENOSYS, f"where {platform.machine()} has it is not known here")
    buffer = ctypes.create_string_buffer(512)
    syscalls.ptrace(syscalls.PTRACE_GETREGS, pid, 0, ctypes.addressof(buffer))
    return int(struct.unpack_from("=q", buffer, 80)[0])  # struct user_regs_struct: rax


def syscall_info(pid: int) -> str:
    """What PTRACE_GET_SYSCALL_INFO says of a tracee at a system call."""
    buffer = ctypes.create_string_buffer(128)
    size = syscalls.ptrace(syscalls.PTRACE_GET_SYSCALL_INFO, pid, len(buffer), ctypes.addressof(buffer))
    if buffer.raw[0] != syscalls.PTRACE_SYSCALL_INFO_ENTRY:
        raise OSError(0, f"PTRACE_GET_SYSCALL_INFO says {buffer.raw[0]} at the entry of a system call")
    return f"PTRACE_GET_SYSCALL_INFO fills {size} bytes"


def rewrite_syscall(pid: int) -> str:
    """Tell the kernel by PTRACE_SET_SYSCALL_INFO what it said of a tracee's system call."""
    buffer = ctypes.create_string_buffer(128)
    address = ctypes.addressof(buffer)
    syscalls.ptrace(syscalls.PTRACE_GET_SYSCALL_INFO, pid, len(buffer), address)
    syscalls.ptrace(syscalls.PTRACE_SET_SYSCALL_INFO, pid, len(buffer), address)
    return "PTRACE_SET_SYSCALL_INFO takes what PTRACE_GET_SYSCALL_INFO says"


def regset(pid: int, number: int) -> bytes:
    """A set of registers, by its ELF note number (include/uapi/linux/elf.h)."""
    buffer = ctypes.create_string_buffer(1 << 16)
    vector = syscalls.Iovec(ctypes.addressof(buffer), len(buffer))
    syscalls.ptrace(syscalls.PTRACE_GETREGSET, pid, number, ctypes.addressof(vector))
    return buffer.raw[: vector.length]


def rseq_area(pid: int) -> tuple[int, int]:
    """Where a tracee has registered restartable sequences, 0 if it has not, and how many bytes."""
    buffer = ctypes.create_string_buffer(24)  # struct ptrace_rseq_configuration
    syscalls.ptrace(syscalls.PTRACE_GET_RSEQ_CONFIGURATION, pid, len(buffer), ctypes.addressof(buffer))
    area, size = struct.unpack_from("<QI", buffer)
    return area, size


def xstate_size(pid: int) -> int:
    """How large the kernel's image of the extended state is."""
    return len(regset(pid, syscalls.NT_X86_XSTATE))


def xstate_components(pid: int) -> int:
    """Which components that image has: the kernel writes its list into bytes that are software's."""
    (components,) = struct.unpack_from("=Q", regset(pid, syscalls.NT_X86_XSTATE), 464)
    return int(components)


# struct sock_filter, in include/uapi/linux/filter.h; the values of seccomp in include/uapi/linux/seccomp.h
_LOAD_NUMBER, _ALLOW = (0x20, 0, 0, 0), (0x06, 0, 0, 0x7FFF0000)
_ERRNO = 0x00050000


def install_filter(*instructions: tuple[int, int, int, int], everywhere: bool = False) -> None:
    """Install a seccomp filter that allows what `instructions` do not decide: for this thread, or for all there are."""
    syscalls.prctl(syscalls.PR_SET_NO_NEW_PRIVS, 1)
    whole = [*instructions, _ALLOW]
    program = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *one) for one in whole))
    header = ctypes.create_string_buffer(struct.pack("@HP", len(whole), ctypes.addressof(program)))
    if everywhere:  # SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC
        syscalls.syscall(syscalls.SECCOMP[platform.machine()], 1, 1, ctypes.addressof(header))
    else:
        syscalls.prctl(syscalls.PR_SET_SECCOMP, 2, ctypes.addressof(header))  # SECCOMP_MODE_FILTER


_NOTIFY = 0x7FC00000
NEW_LISTENER, WAIT_KILLABLE = 1 << 3, 1 << 5  # SECCOMP_FILTER_FLAG_*; the second is of Linux 5.19


def notify_of_everything() -> None:
    """Have each further system call of this process, and of all it makes, wait for whoever has the filter's listener.

    That is the lowest free file descriptor.  Signals interrupt no call meanwhile, where the kernel can do that.
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
    """Have a system call, by its number, answered with an errno from now on."""
    install_filter(_LOAD_NUMBER, (0x15, 0, 1, number), (0x06, 0, 0, _ERRNO | answer))


def getpid_by_int80() -> int:
    """getpid(2) through the i386 door; on a kernel without one the process dies of SIGSEGV."""
    return run_code(bytes.fromhex("b814000000 cd80 c3"))  # mov $__NR_getpid, %eax; int $0x80; ret


def run_code(code: bytes) -> int:
    """What a function of this machine code returns; what it does to the process is the caller's business."""
    memory = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    memory.write(code)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    return int(ctypes.CFUNCTYPE(ctypes.c_int)(address)())


def queue_signal_to_self() -> None:
    """Queue a signal with a value to the calling thread by rt_tgsigqueueinfo(2)."""
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    # siginfo_t: si_signo, si_errno, si_code = SI_QUEUE, padding, si_pid, si_uid (include/uapi/asm-generic/siginfo.h)
    siginfo = struct.pack("=iiiiiI", signal.SIGUSR1, 0, -1, 0, os.getpid(), os.getuid()).ljust(128, b"\0")
    buffer = ctypes.create_string_buffer(siginfo, 128)
    number = syscalls.RT_TGSIGQUEUEINFO[platform.machine()]
    syscalls.syscall(number, os.getpid(), threading.get_native_id(), signal.SIGUSR1, ctypes.addressof(buffer))
