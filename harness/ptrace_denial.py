"""The cause of an EPERM from ptrace.

    seccomp             a filter rejects the call before the kernel looks at the target
    already traced      a tracee has one tracer at most
    yama                the ptrace_scope of the Yama security module
    capability          a target of another user, or one that is not dumpable, requires CAP_SYS_PTRACE
    security module     SELinux, AppArmor, Landlock and others: the remaining cause if none of the above applies

This is the order in which the kernel checks them, except that Yama is a security module too; it comes earlier because
its state is visible.  The functions judge a `Confinement`, which `current` reads; they try nothing.
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

#: Modules that do not restrict ptrace, or that have checks of their own.
OTHER_MODULES = frozenset(("capability", "lockdown", "yama", "integrity", "ima", "evm", "bpf", "loadpin", "safesetid"))


@dataclass(frozen=True, kw_only=True, slots=True)
class Confinement:
    """The restrictions on a process."""

    user: int = 0  #: the effective user id
    capabilities: str = ""  #: the effective set, as in ``CapEff``
    own_user_namespace: bool = False  #: the capabilities are valid only there
    dumpable: int = 1  #: prctl(PR_GET_DUMPABLE): tracing requires CAP_SYS_PTRACE unless it is 1
    tracer: int = 0  #: the pid that traces this process and its new children; 0 if none
    tracer_name: str = ""
    no_new_privileges: bool = False
    seccomp: int = 0  #: 2: filters are in force
    #: Results of ptrace requests for a pid that cannot exist; ``ESRCH`` if they reach the kernel.
    answers: Mapping[str, str] = field(default_factory=dict)
    yama: int | None = None  #: ptrace_scope, None without Yama
    modules: str = ""  #: the active security modules; empty if unknown
    label: str = ""  #: the label that they give this process

    def may(self, capability: int) -> bool:
        """True if it has the capability of this number (include/uapi/linux/capability.h)."""
        return bool(int(self.capabilities or "0", 16) >> capability & 1)


def current() -> Confinement:
    """Return the confinement of the calling process, without `answers`."""
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
    """A mechanism that can deny ptrace."""

    SECCOMP = "seccomp"
    ALREADY_TRACED = "already traced"
    YAMA = "yama"
    CAPABILITY = "capability"
    MODULE = "security module"


@dataclass(frozen=True, slots=True)
class Suspect:
    """A mechanism that may have denied a request, with the evidence and the remedy."""

    who: Authority
    guilty: bool | None  #: None if unknown
    evidence: str
    remedy: str = ""

    def __str__(self) -> str:
        word = {True: "yes", False: "no", None: "perhaps"}[self.guilty]
        return f"{self.who.value}: {word}: {self.evidence}"


def findings(known: Confinement, request: str = "PTRACE_SEIZE", *, own_child: bool = True) -> list[Suspect]:
    """Return a suspect for each mechanism, for a request on an own child or on another process."""
    found = [_seccomp(known, request), _already_traced(known), _yama(known, own_child), _capability(known, own_child)]
    return [*found, _module(known, found)]


def culprit(known: Confinement, request: str = "PTRACE_SEIZE", *, own_child: bool = True) -> Suspect | None:
    """Return the mechanism that denied the request, else one that may have; None if none does."""
    found = findings(known, request, own_child=own_child)
    return next(filter(lambda it: it.guilty, found), next(filter(lambda it: it.guilty is None, found), None))


def _seccomp(known: Confinement, request: str) -> Suspect:
    answer = known.answers.get(request, known.answers.get("PTRACE_SEIZE"))
    if answer is None and known.seccomp == 2:
        return Suspect(Authority.SECCOMP, None, "filters are active", _ALLOW)
    if answer is None:
        return Suspect(Authority.SECCOMP, False, "no filter is active", _ALLOW)
    tried = f"{request} for a nonexistent pid returns {answer}"
    if answer == "ESRCH":
        return Suspect(Authority.SECCOMP, False, f"{tried}, as the kernel does: no filter rejects it")
    return Suspect(Authority.SECCOMP, True, f"{tried}, but the kernel returns ESRCH: a filter rejects it", _ALLOW)


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
    scope = f"ptrace_scope is {known.yama}"
    may = known.may(CAP_SYS_PTRACE)
    if known.yama >= 3:
        remedy = "reboot with a lower value; 3 cannot be changed at run time"
        return Suspect(Authority.YAMA, True, f"{scope}: no process may trace", remedy)
    if known.yama == 2 and not may:
        remedy = "grant CAP_SYS_PTRACE, or set ptrace_scope to 0 or 1"
        return Suspect(Authority.YAMA, True, f"{scope}: tracing requires CAP_SYS_PTRACE", remedy)
    if known.yama == 1 and not (may or own_child):
        return Suspect(
            Authority.YAMA,
            True,
            f"{scope}: only descendants may be traced, and processes that allow it by PR_SET_PTRACER",
            "trace an own child, set ptrace_scope to 0, or grant CAP_SYS_PTRACE",
        )
    return Suspect(Authority.YAMA, False, scope + (", and CAP_SYS_PTRACE is effective" if known.yama and may else ""))


def _capability(known: Confinement, own_child: bool) -> Suspect:
    if known.may(CAP_SYS_PTRACE):
        where = " in its own user namespace" if known.own_user_namespace else ""
        return Suspect(Authority.CAPABILITY, False, f"CAP_SYS_PTRACE is effective{where}")
    if known.dumpable != 1:
        return Suspect(
            Authority.CAPABILITY,
            True,
            f"this process and its children are not dumpable ({known.dumpable}): tracing them requires CAP_SYS_PTRACE",
            "call prctl(PR_SET_DUMPABLE, 1) after a change of user, make the program's file readable, or grant "
            "CAP_SYS_PTRACE",
        )
    if not own_child:
        return Suspect(
            Authority.CAPABILITY,
            None,
            f"without CAP_SYS_PTRACE user {known.user} may trace only its own unprivileged processes",
            "grant CAP_SYS_PTRACE, or run as the user whose process it is",
        )
    return Suspect(Authority.CAPABILITY, False, "tracing an own dumpable child requires no capability")


def _module(known: Confinement, others: list[Suspect]) -> Suspect:
    seen = [name for name in known.modules.split(",") if name and name not in OTHER_MODULES]
    label = f"; the label of this process is {known.label!r}" if known.label else ""
    if any(other.guilty for other in others):
        return Suspect(Authority.MODULE, False, "another mechanism denies the request first")
    if seen:
        evidence = f"{', '.join(seen)} {'is' if len(seen) == 1 else 'are'} active{label}"
    elif known.modules:
        return Suspect(Authority.MODULE, False, f"none is active: {known.modules}")
    else:
        evidence = f"the active modules cannot be read here{label}"
    return Suspect(
        Authority.MODULE, None, evidence, "see the kernel log (audit: DENIED); allow this program to trace its children"
    )


_ALLOW = (
    "use a profile that allows ptrace (Docker: its default one since Linux 4.8, or --cap-add SYS_PTRACE; older podman "
    "and containerd: a custom profile)"
)
