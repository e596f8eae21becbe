"""Probes of ptrace and signals."""

from __future__ import annotations

import errno
import platform

from worldswitch.harness.cell.probes import Absent, Look, requests
from worldswitch.harness.linux import ptrace, syscalls


def _uncapped_ptrace() -> str:
    """Trace without capabilities, which Yama's scope 2 denies."""
    syscalls.drop_capabilities()
    return f"without any capability: {requests.seize()}"


def _traceme() -> str:
    syscalls.ptrace(syscalls.PTRACE_TRACEME, 0)
    return "PTRACE_TRACEME"


def _ptrace_denied() -> str:
    """Check that PTRACE_SEIZE of a child fails with an errno."""
    with ptrace.child() as pid:
        try:
            syscalls.ptrace(syscalls.PTRACE_SEIZE, pid, 0, ptrace.OPTIONS)
        except OSError as error:
            return str(error)
    raise Absent("ptrace is allowed: PTRACE_SEIZE of a child")


def _ptrace_deniable() -> str:
    """Deny ptrace by an own filter and check that it is denied."""
    ptrace.forbid(syscalls.PTRACE[platform.machine()], errno.EPERM)
    return f"with a filter: {_ptrace_denied()}"


def _seccomp_first() -> str:
    """Check that seccomp runs before PTRACE_SYSEMU, as before Linux 4.8 (commit 93e35efb8de4)."""
    with ptrace.stopped_child(lambda: ptrace.forbid(syscalls.GETPPID[platform.machine()], errno.EXDEV)) as pid:
        ptrace.run_to_syscall(pid, syscalls.PTRACE_SYSEMU)
        result = ptrace.syscall_result(pid)
    if result != -errno.EXDEV:
        raise Absent(f"a forbidden call stops with the result {result}: PTRACE_SYSEMU stops before the filter")
    return "a filter rejects the call before PTRACE_SYSEMU stops"


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
        raise Absent("this C library registers no rseq area")
    return f"this C library registered an rseq area of {size} bytes"


def _rt_tgsigqueueinfo() -> str:
    ptrace.queue_signal_to_self()
    return "rt_tgsigqueueinfo to the calling thread"


#: The probes of this file, by their names in a scenario's ``needs``.
PROBES: dict[str, Look] = {
    "ptrace": requests.seize,
    "ptrace_requests": requests.all_requests,
    "uncapped_ptrace": _uncapped_ptrace,
    "traceme": _traceme,
    "ptrace_denied": _ptrace_denied,
    "ptrace_deniable": _ptrace_deniable,
    "seccomp_first": _seccomp_first,
    "sysemu": requests.judging(_sysemu, "PTRACE_SYSEMU"),
    "sysemu_singlestep": requests.judging(_sysemu_singlestep, "PTRACE_SYSEMU", "PTRACE_SYSEMU_SINGLESTEP"),
    "syscall_info": requests.judging(_syscall_info, "PTRACE_SYSEMU", "PTRACE_GET_SYSCALL_INFO"),
    "set_syscall_info": requests.judging(
        _set_syscall_info, "PTRACE_SYSEMU", "PTRACE_GET_SYSCALL_INFO", "PTRACE_SET_SYSCALL_INFO"
    ),
    "rt_tgsigqueueinfo": _rt_tgsigqueueinfo,
    "rseq": _rseq,
}
