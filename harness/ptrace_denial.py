"""EPERM from ptrace: which of those who could say it did.

    seccomp             a filter answers before the kernel looks at whom it is about
    already traced      a tracee has one tracer
    yama                the Yama security module's ptrace_scope
    capability          it takes CAP_SYS_PTRACE: of another user, or not dumpable
    security module     SELinux, AppArmor, Landlock and others: what is left when it was none of these

They stand in the order in which they are asked, but for Yama: of those that are kernel's own, it is a module too, and
is the one that can be seen.  What is known is a `Confinement`, which `here` reads; nothing is tried here.
"""

from __future__ import annotations

import ctypes
import enum
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

YAMA = Path("/proc/sys/kernel/yama/ptrace_scope")
MODULES = Path("/sys/kernel/security/lsm")
LABEL = Path("/proc/self/attr/current")

CAP_SYS_PTRACE = 19  # include/uapi/linux/capability.h
PR_GET_DUMPABLE = 3  # include/uapi/linux/prctl.h
FIRST_USER_NAMESPACE = 0xEFFF_FFFD  # PROC_USER_INIT_INO, include/linux/proc_ns.h

#: Modules that restrict no ptrace, or that are told apart by other means.
OTHER_MODULES = frozenset(("capability", "lockdown", "yama", "integrity", "ima", "evm", "bpf", "loadpin", "safesetid"))


@dataclass(frozen=True, kw_only=True, slots=True)
class Confinement:
    """What restricts this process."""

    user: int = 0  #: the effective user
    capabilities: str = ""  #: the effective ones, as ``CapEff`` has them
    own_user_namespace: bool = False  #: they count only there
    dumpable: int = 1  #: prctl(PR_GET_DUMPABLE): what is not 1 takes CAP_SYS_PTRACE to be traced
    tracer: int = 0  #: who traces a child of this process from its birth
    tracer_name: str = ""
    no_new_privileges: bool = False
    seccomp: int = 0  #: 2: filters are in force
    answers: Mapping[str, str] = field(
        default_factory=dict
    )  #: of ptrace requests about nobody; ``ESRCH`` if they reach the kernel
    yama: int | None = None  #: ptrace_scope, None without Yama
    modules: str = ""  #: the security modules in force, where they can be seen
    label: str = ""  #: what they call this process

    def may(self, capability: int) -> bool:
        """Whether it has a capability, by its number in include/uapi/linux/capability.h."""
        return bool(int(self.capabilities or "0", 16) >> capability & 1)


def here() -> Confinement:
    """What restricts this very process, but for filters."""
    status = dict(line.partition(":")[::2] for line in _text(Path("/proc/self/status")).splitlines())
    values = {key: value.strip() for key, value in status.items()}
    tracer = int(values.get("TracerPid", 0))
    return Confinement(
        user=os.geteuid(),
        capabilities=values.get("CapEff", ""),
        own_user_namespace=_is_own_user_namespace(),
        dumpable=ctypes.CDLL(None).prctl(PR_GET_DUMPABLE, 0, 0, 0, 0),
        tracer=tracer,
        tracer_name=_text(Path(f"/proc/{tracer}/comm")).strip() if tracer else "",
        no_new_privileges=values.get("NoNewPrivs") == "1",
        seccomp=int(values.get("Seccomp", 0)),
        yama=int(scope) if (scope := _text(YAMA).strip()).isdecimal() else None,
        modules=_text(MODULES).strip(),
        label=_text(LABEL).strip("\0\n "),
    )


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


class Authority(enum.Enum):
    """Authority can refuse."""

    SECCOMP = "seccomp"
    ALREADY_TRACED = "already traced"
    YAMA = "yama"
    CAPABILITY = "capability"
    MODULE = "security module"


@dataclass(frozen=True, slots=True)
class Suspect:
    """Whether it was this one: True, False, or None if that cannot be told; what shows it, and what to do if it was."""

    who: Authority
    guilty: bool | None
    evidence: str
    remedy: str = ""

    def __str__(self) -> str:
        word = {True: "yes", False: "no", None: "perhaps"}[self.guilty]
        return f"{self.who.value}: {word}: {self.evidence}"


def findings(known: Confinement, request: str = "PTRACE_SEIZE", *, own_child: bool = True) -> list[Suspect]:
    """What is to be said of each, for a request about a child of one's own, or about a process of somebody else's."""
    found = [_seccomp(known, request), _already_traced(known), _yama(known, own_child), _capability(known, own_child)]
    return [*found, _module(known, found)]


def culprit(known: Confinement, request: str = "PTRACE_SEIZE", *, own_child: bool = True) -> Suspect | None:
    """The one that it was, or that it must have been; None if none would refuse."""
    found = findings(known, request, own_child=own_child)
    return next((one for one in found if one.guilty), next((one for one in found if one.guilty is None), None))


def _seccomp(known: Confinement, request: str) -> Suspect:
    said = known.answers.get(request)
    if said is None:
        said = known.answers.get("PTRACE_SEIZE")
    if said == "ESRCH":
        return Suspect(
            Authority.SECCOMP, False, f"{request} of nobody is ESRCH, as the kernel says it: no filter answers"
        )
    if said is None:
        guilty = None if known.seccomp == 2 else False
        return Suspect(
            Authority.SECCOMP, guilty, "filters are in force" if guilty is None else "no filter is in force", _ALLOW
        )
    return Suspect(
        Authority.SECCOMP, True, f"{request} of nobody is {said}, where the kernel says ESRCH: a filter answers", _ALLOW
    )


def _already_traced(known: Confinement) -> Suspect:
    if not known.tracer:
        return Suspect(Authority.ALREADY_TRACED, False, "TracerPid is 0")
    name = f" ({known.tracer_name})" if known.tracer_name else ""
    return Suspect(
        Authority.ALREADY_TRACED,
        True,
        f"process {known.tracer}{name} traces this process and its children",
        "run it without strace, gdb or another tracer that follows forks",
    )


def _yama(known: Confinement, own_child: bool) -> Suspect:
    if known.yama is None:
        return Suspect(Authority.YAMA, False, "there is no /proc/sys/kernel/yama/ptrace_scope")
    said = f"ptrace_scope is {known.yama}"
    may = known.may(CAP_SYS_PTRACE)
    if known.yama >= 3:
        return Suspect(
            Authority.YAMA, True, f"{said}: nobody may trace", "boot with another; 3 cannot be left without a reboot"
        )
    if known.yama == 2 and not may:
        return Suspect(
            Authority.YAMA, True, f"{said}: it takes CAP_SYS_PTRACE", "grant CAP_SYS_PTRACE, or set it to 0 or 1"
        )
    if known.yama == 1 and not (may or own_child):
        return Suspect(
            Authority.YAMA,
            True,
            f"{said}: only descendants may be traced, and those that allow it by PR_SET_PTRACER",
            "trace a child of one's own, set ptrace_scope to 0, or grant CAP_SYS_PTRACE",
        )
    return Suspect(Authority.YAMA, False, said + (", and CAP_SYS_PTRACE is there" if known.yama and may else ""))


def _capability(known: Confinement, own_child: bool) -> Suspect:
    if known.may(CAP_SYS_PTRACE):
        where = " in its own user namespace" if known.own_user_namespace else ""
        return Suspect(Authority.CAPABILITY, False, f"CAP_SYS_PTRACE is there{where}")
    if known.dumpable != 1:
        return Suspect(
            Authority.CAPABILITY,
            True,
            f"this process and its children are not dumpable ({known.dumpable}): tracing them takes CAP_SYS_PTRACE",
            "call prctl(PR_SET_DUMPABLE, 1) after a change of user, make the program's file readable, or grant "
            "CAP_SYS_PTRACE",
        )
    if not own_child:
        return Suspect(
            Authority.CAPABILITY,
            None,
            f"without CAP_SYS_PTRACE user {known.user} may trace only its own processes, without further privileges",
            "grant CAP_SYS_PTRACE, or run as the user whose process it is",
        )
    return Suspect(Authority.CAPABILITY, False, "a dumpable child of one's own takes no capability")


def _module(known: Confinement, others: list[Suspect]) -> Suspect:
    seen = [name for name in known.modules.split(",") if name and name not in OTHER_MODULES]
    label = f", and calls this process {known.label!r}" if known.label else ""
    if any(one.guilty for one in others):
        return Suspect(Authority.MODULE, False, "another one refuses before it is asked")
    if seen:
        said = f"{', '.join(seen)} {'is' if len(seen) == 1 else 'are'} in force{label}"
    elif known.modules:
        return Suspect(Authority.MODULE, False, f"none is in force: {known.modules}")
    else:
        said = f"which are in force cannot be seen here{label}"
    return Suspect(
        Authority.MODULE, None, said, "see the kernel log (audit: DENIED); allow this program to trace its children"
    )


_ALLOW = (
    "use a profile that allows ptrace (Docker: its default one since Linux 4.8, or --cap-add SYS_PTRACE; older podman "
    "and containerd: a profile of your own)"
)
