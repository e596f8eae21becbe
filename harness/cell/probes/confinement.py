"""Who could forbid ptrace to this process: what the kernel tells of each, for whoever must know which one it was.

A seccomp filter cannot hide: a ptrace request about a process that cannot be is ESRCH before the kernel asks about
permissions, so any other answer is a filter's.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

import msgspec

from worldswitch.harness.cell.supervisor import supervise
from worldswitch.harness.linux import syscalls

YAMA = Path("/proc/sys/kernel/yama/ptrace_scope")
MODULES = Path("/sys/kernel/security/lsm")
LABEL = Path("/proc/self/attr/current")

PR_GET_DUMPABLE = 3  # include/uapi/linux/prctl.h
NOBODY = 0x7FFF_FFFF  #: above PID_MAX_LIMIT (include/linux/threads.h)
FIRST_USER_NAMESPACE = 0xEFFF_FFFD  # PROC_USER_INIT_INO, include/linux/proc_ns.h

#: The requests by which one comes to trace another, and one of those that follow; PTRACE_TRACEME is about no other.
REQUESTS = {"PTRACE_SEIZE": syscalls.PTRACE_SEIZE, "PTRACE_ATTACH": 16, "PTRACE_GETREGS": syscalls.PTRACE_GETREGS}

SECONDS = 10.0


class Confinement(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What restricts this process."""

    user: int = 0  #: the effective user
    capabilities: str = ""  #: the effective ones, as ``CapEff`` has them
    own_user_namespace: bool = False  #: they count only there
    dumpable: int = 1  #: prctl(PR_GET_DUMPABLE): what is not 1 takes CAP_SYS_PTRACE to be traced
    tracer: int = 0  #: who traces a child of this process from its birth
    tracer_name: str = ""
    no_new_privileges: bool = False
    seccomp: int = 0  #: 2: filters are in force
    answers: dict[str, str] = {}  #: of ptrace requests about nobody; ``ESRCH`` if they reach the kernel
    yama: int | None = None  #: ptrace_scope, None without Yama
    modules: str = ""  #: the security modules in force, where they can be seen
    label: str = ""  #: what they call this process

    def may(self, capability: int) -> bool:
        """Whether it has a capability, by its number in include/uapi/linux/capability.h."""
        return bool(int(self.capabilities or "0", 16) >> capability & 1)


def look() -> Confinement:
    """What restricts a child of this process, as trials are; asked in one, since a filter may kill for asking."""

    def ask() -> bytes:
        return msgspec.json.encode(msgspec.structs.replace(here(), answers={name: answer(name) for name in REQUESTS}))

    if whole := supervise(ask, SECONDS).payload:
        return msgspec.json.decode(whole, type=Confinement)
    return msgspec.structs.replace(here(), answers={name: _answer_in_a_child(name) for name in REQUESTS})


def here() -> Confinement:
    """What restricts this very process, but for filters."""
    status = dict(line.partition(":")[::2] for line in _text(Path("/proc/self/status")).splitlines())
    values = {key: value.strip() for key, value in status.items()}
    tracer = int(values.get("TracerPid", 0))
    return Confinement(
        user=os.geteuid(),
        capabilities=values.get("CapEff", ""),
        own_user_namespace=_is_own_user_namespace(),
        dumpable=syscalls.prctl(PR_GET_DUMPABLE),
        tracer=tracer,
        tracer_name=_text(Path(f"/proc/{tracer}/comm")).strip() if tracer else "",
        no_new_privileges=values.get("NoNewPrivs") == "1",
        seccomp=int(values.get("Seccomp", 0)),
        yama=int(scope) if (scope := _text(YAMA).strip()).isdecimal() else None,
        modules=_text(MODULES).strip(),
        label=_text(LABEL).strip("\0\n "),
    )


def answer(request: str) -> str:
    """How a request about nobody is answered, asked by this very process."""
    try:
        syscalls.ptrace(REQUESTS[request], NOBODY)
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, str(error.errno))
    return "0"


def _answer_in_a_child(request: str) -> str:
    ending = supervise(lambda: answer(request).encode(), SECONDS)
    if ending.payload is not None:
        return ending.payload.decode()
    ended = ending.status is not None and os.WIFSIGNALED(ending.status)
    return f"killed by signal {os.WTERMSIG(ending.status or 0)}" if ended else "no answer"


def _is_own_user_namespace() -> bool:
    try:
        return Path("/proc/self/ns/user").stat().st_ino != FIRST_USER_NAMESPACE
    except OSError:
        return False


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
