"""What ptrace and signals can do here."""

from __future__ import annotations

from worldswitch.harness import syscalls, tracing
from worldswitch.harness.abilities import Absent, Look


def _ptrace() -> str:
    with tracing.stopped_child():
        return "PTRACE_SEIZE of a child of its own, with PTRACE_O_EXITKILL"


def _traceme() -> str:
    syscalls.ptrace(syscalls.PTRACE_TRACEME, 0)
    return "PTRACE_TRACEME"


def _ptrace_denied() -> str:
    try:
        said = _ptrace()
    except OSError as error:
        return str(error)
    raise Absent(f"ptrace is allowed: {said}")


def _sysemu() -> str:
    with tracing.stopped_child() as pid:
        return tracing.run_to_syscall(pid, syscalls.PTRACE_SYSEMU)


def _sysemu_singlestep() -> str:
    with tracing.stopped_child() as pid:
        tracing.run_to_syscall(pid, syscalls.PTRACE_SYSEMU)
        return tracing.resume(pid, syscalls.PTRACE_SYSEMU_SINGLESTEP)


def _syscall_info() -> str:
    with tracing.stopped_child() as pid:
        tracing.run_to_syscall(pid, syscalls.PTRACE_SYSEMU)
        return tracing.syscall_info(pid)


def _rt_tgsigqueueinfo() -> str:
    tracing.queue_signal_to_self()
    return "rt_tgsigqueueinfo to itself"


#: The probes of this file, by the name a scenario's ``needs`` calls each.
PROBES: dict[str, Look] = {
    "ptrace": _ptrace,
    "traceme": _traceme,
    "ptrace_denied": _ptrace_denied,
    "sysemu": _sysemu,
    "sysemu_singlestep": _sysemu_singlestep,
    "syscall_info": _syscall_info,
    "rt_tgsigqueueinfo": _rt_tgsigqueueinfo,
}
