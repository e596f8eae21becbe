"""System calls that Python does not wrap, made through ctypes; errors raise OSError.

ctypes reads no headers, so this file has the values, each block with its header.
"""

import contextlib
import ctypes
import os
import signal
import struct

# include/uapi/linux/prctl.h
PR_SET_PDEATHSIG = 1
PR_SET_SECCOMP = 22
PR_SET_CHILD_SUBREAPER = 36
PR_GET_CHILD_SUBREAPER = 37
PR_SET_NO_NEW_PRIVS = 38

# include/uapi/linux/ptrace.h, arch/x86/include/uapi/asm/ptrace-abi.h
PTRACE_TRACEME = 0
PTRACE_POKEUSR = 6
PTRACE_CONT = 7
PTRACE_GETREGS = 12
PTRACE_SETREGS = 13
PTRACE_ATTACH = 16
PTRACE_DETACH = 17
PTRACE_SYSCALL = 24
PTRACE_SYSEMU = 31
PTRACE_SYSEMU_SINGLESTEP = 32
PTRACE_GETSIGINFO = 0x4202
PTRACE_GETREGSET = 0x4204
PTRACE_SETREGSET = 0x4205
PTRACE_SEIZE = 0x4206
PTRACE_INTERRUPT = 0x4207
PTRACE_PEEKSIGINFO = 0x4209
PTRACE_SETSIGMASK = 0x420B
PTRACE_GET_SYSCALL_INFO = 0x420E
PTRACE_SET_SYSCALL_INFO = 0x4212
PTRACE_GET_RSEQ_CONFIGURATION = 0x420F
PTRACE_O_TRACESYSGOOD = 0x1
PTRACE_O_EXITKILL = 0x100000
PTRACE_SYSCALL_INFO_ENTRY = 1
NT_X86_XSTATE, NT_X86_SHSTK = 0x202, 0x204  # include/uapi/linux/elf.h

# arch/x86/entry/syscalls/syscall_64.tbl, arch/x86/include/uapi/asm/prctl.h
ARCH_PRCTL, ARCH_SET_CPUID = 158, 0x1012

CAPABILITY_VERSION_3 = 0x20080522  # include/uapi/linux/capability.h

# include/uapi/linux/sched.h, include/uapi/linux/mount.h
CLONE_NEWNS = 0x20000
CLONE_NEWUTS = 0x4000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
MS_REC = 0x4000
MS_PRIVATE = 0x40000

WALL = 0x40000000  #: __WALL, include/uapi/linux/wait.h: wait for children with any exit signal

# arch/*/entry/syscalls, include/uapi/asm-generic/unistd.h
RT_TGSIGQUEUEINFO = {"x86_64": 297, "aarch64": 240}
PTRACE = {"x86_64": 101, "aarch64": 117}
SECCOMP = {"x86_64": 317, "aarch64": 277}
GETPPID = {"x86_64": 110, "aarch64": 173}

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long
_libc.ptrace.restype = ctypes.c_long
_libc.ptrace.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)


class Iovec(ctypes.Structure):
    """struct iovec."""

    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


def _checked(result: int, operation: str) -> int:
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, f"{operation}: {os.strerror(number)}")
    return result


def prctl(option: int, *arguments: int) -> int:
    """Make the system call prctl and return its result."""
    words = [ctypes.c_ulong(argument) for argument in (*arguments, 0, 0, 0, 0)[:4]]
    return _checked(_libc.prctl(ctypes.c_int(option), *words), f"prctl {option}")


def is_subreaper() -> bool:
    """True if this process is a child subreaper; False too if the kernel cannot tell, as gVisor."""
    answer = ctypes.c_int()
    with contextlib.suppress(OSError):
        prctl(PR_GET_CHILD_SUBREAPER, ctypes.addressof(answer))
    return bool(answer.value)


def set_subreaper(on: bool = True) -> bool:
    """Make this process a child subreaper, so that its orphaned descendants become its children.

    Returns False if the kernel does not: before Linux 3.4, an emulated kernel, or a seccomp filter.
    """
    try:
        prctl(PR_SET_CHILD_SUBREAPER, on)
    except OSError:
        return False
    return True


def ptrace(request: int, pid: int, address: int = 0, data: int = 0) -> int:
    """Make a request of the system call ptrace and return its result."""
    return _checked(_libc.ptrace(request, pid, address, data), f"ptrace request {request:#x}")


def unshare(flags: int) -> None:
    """Move this process into new namespaces (unshare(2))."""
    _checked(_libc.unshare(ctypes.c_int(flags)), f"unshare {flags:#x}")


def drop_capabilities() -> None:
    """Drop all capabilities of this thread and its future children (capset(2)); the user id stays."""
    header = struct.pack("=Ii", CAPABILITY_VERSION_3, 0)
    _checked(_libc.capset(header, bytes(24)), "capset")


def make_mounts_private() -> None:
    """Stop mounts in this mount namespace from propagating to others."""
    _checked(_libc.mount(b"none", b"/", None, ctypes.c_ulong(MS_REC | MS_PRIVATE), None), "mount --make-rprivate /")


def syscall(number: int, *arguments: int) -> int:
    """Make the system call of this number and return its result."""
    return _checked(_libc.syscall(ctypes.c_long(number), *map(ctypes.c_long, arguments)), f"system call {number}")


def write_all(descriptor: int, data: bytes) -> None:
    """Write all of `data`; one write(2) may be short."""
    while data:
        data = data[os.write(descriptor, data) :]


def die_with_parent(parent: int, signo: int) -> None:
    """Arrange for `signo` when the thread that forked this process ends; `parent` is the pid of that thread's process.

    If the parent ended before the prctl, the kernel sends nothing, so the signal is sent here.  On a kernel without
    PR_SET_PDEATHSIG this process outlives a killed parent; `worldswitch.harness.cell.probes.emulation` reports that.
    """
    with contextlib.suppress(OSError):
        prctl(PR_SET_PDEATHSIG, signo)
    if os.getppid() != parent:
        signal.raise_signal(signo)  # not by pid: a filter may deny getpid, and -1 is every process
