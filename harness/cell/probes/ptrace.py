"""What ptrace and signals can do here."""

from __future__ import annotations

import errno
import platform

from worldswitch.harness.cell.probes import Absent, Look
from worldswitch.harness.linux import ptrace, syscalls


def _ptrace() -> str:
    with ptrace.stopped_child():
        return "PTRACE_SEIZE of a child of its own, with PTRACE_O_EXITKILL"


def _uncapped_ptrace() -> str:
    """Whether tracing takes no capability: under Yama's scope 2 it does."""
    syscalls.drop_capabilities()
    return f"without any capability: {_ptrace()}"


def _traceme() -> str:
    syscalls.ptrace(syscalls.PTRACE_TRACEME, 0)
    return "PTRACE_TRACEME"


def _ptrace_denied() -> str:
    try:
        said = _ptrace()
    except OSError as error:
        return str(error)
    raise Absent(f"ptrace is allowed: {said}")


def _ptrace_deniable() -> str:
    """Whether ptrace is denied when a filter of our own denies it, whatever it was before."""
    ptrace.forbid(syscalls.PTRACE[platform.machine()], errno.EPERM)
    return f"behind a filter of its own: {_ptrace_denied()}"


def _seccomp_first() -> str:
    """Whether a filter sees a system call before PTRACE_SYSEMU does, as before Linux 4.8 (commit 93e35efb8de4)."""
    with ptrace.stopped_child(lambda: ptrace.forbid(syscalls.GETPPID[platform.machine()], errno.EXDEV)) as pid:
        ptrace.run_to_syscall(pid, syscalls.PTRACE_SYSEMU)
        result = ptrace.syscall_result(pid)
    if result != -errno.EXDEV:
        raise Absent(f"a call that a filter forbids stops with the result {result}")
    return "a filter answers before PTRACE_SYSEMU stops"


def _sysemu() -> str:
    with ptrace.stopped_child() as pid:
        return ptrace.run_to_syscall(pid, syscalls.PTRACE_SYSEMU)


def _sysemu_singlestep() -> str:
    with ptrace.stopped_child() as pid:
        ptrace.run_to_syscall(pid, syscalls.PTRACE_SYSEMU)
        return ptrace.resume(pid, syscalls.PTRACE_SYSEMU_SINGLESTEP)


def _syscall_info() -> str:
    with ptrace.stopped_child() as pid:
        ptrace.run_to_syscall(pid, syscalls.PTRACE_SYSEMU)
        return ptrace.syscall_info(pid)


def _set_syscall_info() -> str:
    with ptrace.stopped_child() as pid:
        ptrace.run_to_syscall(pid, syscalls.PTRACE_SYSEMU)
        return ptrace.rewrite_syscall(pid)


def _rseq() -> str:
    with ptrace.stopped_child() as pid:
        area, size = ptrace.rseq_area(pid)
    if area == 0:
        raise Absent("this C library registers no restartable sequences")
    return f"this C library registered {size} bytes for restartable sequences"


def _rt_tgsigqueueinfo() -> str:
    ptrace.queue_signal_to_self()
    return "rt_tgsigqueueinfo to itself"


#: The probes of this file, by the name a scenario's ``needs`` calls each.
PROBES: dict[str, Look] = {
    "ptrace": _ptrace,
    "uncapped_ptrace": _uncapped_ptrace,
    "traceme": _traceme,
    "ptrace_denied": _ptrace_denied,
    "ptrace_deniable": _ptrace_deniable,
    "seccomp_first": _seccomp_first,
    "sysemu": _sysemu,
    "sysemu_singlestep": _sysemu_singlestep,
    "syscall_info": _syscall_info,
    "set_syscall_info": _set_syscall_info,
    "rt_tgsigqueueinfo": _rt_tgsigqueueinfo,
    "rseq": _rseq,
}
