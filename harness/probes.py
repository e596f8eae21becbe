"""What this environment can do, found out by doing it: each probe is a function that tries.

    yes      it works
    no       this machine or kernel has no such thing: a scenario that needs it is `unsupported`
    denied   it is there and something forbids it (EPERM, EACCES, a seccomp kill): `blocked`

A probe runs in a process of its own and never through a platform, so that no platform judges itself.
"""

from __future__ import annotations

import functools
import os
import platform
from collections.abc import Callable
from dataclasses import dataclass
from errno import EACCES, EPERM
from pathlib import Path
from signal import SIGSYS
from typing import Literal, TypeAlias

import msgspec

from worldswitch.harness import syscalls, tracing
from worldswitch.harness.supervisor import Ending, supervise

State: TypeAlias = Literal["yes", "no", "denied"]

#: Far more than any of them takes; what a hanging probe would show is that the ability is no use.
SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Probe:
    """What one probe found, and what showed it."""

    name: str
    state: State
    detail: str


class Absent(Exception):
    """What a probe looked for is not there."""


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


def _xsave() -> str:
    with tracing.stopped_child() as pid:
        return f"{tracing.xstate_size(pid)} bytes of extended state"


def _cpu_flag(flag: str) -> str:
    flags = next((line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("flags")), "")
    if flag not in flags.split():
        raise Absent(f"/proc/cpuinfo lists no {flag}")
    return f"/proc/cpuinfo lists {flag}"


def _seccomp() -> str:
    syscalls.prctl(syscalls.PR_SET_NO_NEW_PRIVS, 1)
    tracing.install_empty_filter()
    return "a filter of its own was accepted"


def _root() -> str:
    if os.geteuid() != 0:
        raise Absent(f"the effective user is {os.geteuid()}")
    return "the effective user is 0"


def _pidns() -> str:
    syscalls.unshare(syscalls.CLONE_NEWPID)
    return "unshare(CLONE_NEWPID)"


def _mountns() -> str:
    syscalls.unshare(syscalls.CLONE_NEWNS)
    syscalls.make_mounts_private()
    return "unshare(CLONE_NEWNS) and a private mount tree"


def _userns() -> str:
    syscalls.unshare(syscalls.CLONE_NEWUSER)
    return "unshare(CLONE_NEWUSER)"


def _yama() -> str:
    try:
        scope = Path("/proc/sys/kernel/yama/ptrace_scope").read_text().strip()
    except FileNotFoundError:
        raise Absent("no /proc/sys/kernel/yama") from None
    return f"ptrace_scope is {scope}"


#: How /proc/self/maps shows the mode that ``vsyscall=`` chose.
_VSYSCALL_MODES = {"--xp": "xonly", "r-xp": "emulate"}


def _vsyscall() -> str:
    lines = Path("/proc/self/maps").read_text().splitlines()
    access = next((line.split()[1] for line in lines if line.endswith("[vsyscall]")), None)
    if access is None:
        raise Absent("/proc/self/maps shows no vsyscall page")
    return _VSYSCALL_MODES.get(access, access)


def _int80() -> str:
    if platform.machine() != "x86_64":
        raise Absent(f"{platform.machine()} has no int 0x80")
    said = tracing.getpid_by_int80()
    if said != os.getpid():
        raise Absent(f"int 0x80 answered {said} to getpid")
    return "int 0x80 makes i386 system calls"


def _rt_tgsigqueueinfo() -> str:
    tracing.queue_signal_to_self()
    return "rt_tgsigqueueinfo to itself"


def _memfd() -> str:
    os.close(os.memfd_create("worldswitch-probe"))
    return "memfd_create"


#: PROC_PID_INIT_INO, include/linux/proc_ns.h: the number of the namespace that is in no other.
_FIRST_PID_NAMESPACE = 0xEFFFFFFC


def _container() -> str:
    if Path("/proc/self/ns/pid").stat().st_ino == _FIRST_PID_NAMESPACE:
        raise Absent("this is the machine's own PID namespace")
    return "a PID namespace of its own"


def _pid1() -> str:
    command = Path("/proc/1/cmdline").read_bytes().decode(errors="replace")
    name = Path("/proc/1/comm").read_text().strip()
    if "worldswitch" not in command:
        raise Absent(f"process 1 is {name}")
    return f"process 1 is this run's own {name}"


def _smp() -> str:
    cpus = len(os.sched_getaffinity(0))
    if cpus < 2:
        raise Absent("one CPU")
    return f"{cpus} CPUs"


#: Every probe, by the name a scenario's ``needs`` calls it.
PROBES: dict[str, Callable[[], str]] = {
    "ptrace": _ptrace,
    "ptrace_denied": _ptrace_denied,
    "traceme": _traceme,
    "sysemu": _sysemu,
    "sysemu_singlestep": _sysemu_singlestep,
    "syscall_info": _syscall_info,
    "xsave": _xsave,
    "avx": functools.partial(_cpu_flag, "avx"),
    "avx512": functools.partial(_cpu_flag, "avx512f"),
    "seccomp": _seccomp,
    "root": _root,
    "pidns": _pidns,
    "mountns": _mountns,
    "userns": _userns,
    "yama": _yama,
    "vsyscall": _vsyscall,
    "int80": _int80,
    "rt_tgsigqueueinfo": _rt_tgsigqueueinfo,
    "memfd": _memfd,
    "container": _container,
    "pid1": _pid1,
    "smp": _smp,
}


@functools.cache
def probe(name: str) -> Probe:
    """What the probe `name` finds here; KeyError if there is none of that name."""
    look = PROBES[name]
    return _finding(name, supervise(lambda: msgspec.json.encode(_try(look)), SECONDS))


def all_probes() -> list[Probe]:
    """What every probe finds here."""
    return [probe(name) for name in PROBES]


def _try(look: Callable[[], str]) -> tuple[State, str]:
    try:
        return "yes", look()
    except Absent as finding:
        return "no", str(finding)
    except OSError as error:
        return ("denied" if error.errno in (EPERM, EACCES) else "no"), error.strerror or str(error)


def _finding(name: str, ending: Ending) -> Probe:
    if ending.late:
        return Probe(name, "no", f"no answer within {SECONDS:g} s")
    if ending.payload is None:
        signo = os.WTERMSIG(ending.status) if ending.status is not None and os.WIFSIGNALED(ending.status) else 0
        said = f"killed by signal {signo}" if signo else f"ended without an answer: {ending.output[-200:]}"
        return Probe(name, "denied" if signo == SIGSYS else "no", said)
    state, detail = msgspec.json.decode(ending.payload, type=tuple[State, str])
    return Probe(name, state, detail)
