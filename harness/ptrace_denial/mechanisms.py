"""Decides for each mechanism that is not a security module whether it denies a ptrace request.

    seccomp             a filter answers before the kernel looks at the target
    kernel              an emulated or old kernel lacks the request
    already traced      a tracee has one tracer at most
    yama                the ptrace_scope of the Yama security module, whose state is visible
    capability          a target of another user, or one that is not dumpable, requires CAP_SYS_PTRACE

A filter and the kernel can deny any request.  The kernel checks all else when tracing begins, not at later requests.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from worldswitch.harness.ptrace_denial.confinement import CAP_SYS_PTRACE, Confinement


class Mechanism(enum.Enum):
    """A mechanism that can deny ptrace."""

    SECCOMP = "seccomp"
    KERNEL = "kernel"
    ALREADY_TRACED = "already traced"
    YAMA = "yama"
    CAPABILITY = "capability"
    SELINUX = "SELinux"
    APPARMOR = "AppArmor"
    LANDLOCK = "Landlock"
    BPF = "BPF LSM"
    MODULE = "security module"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True)
class MechanismCheck:
    """The check of one mechanism: whether it denies the request, with the evidence and the remedy."""

    mechanism: Mechanism
    denies: bool | None  #: None if unknown
    evidence: str
    remedy: str = ""

    @property
    def told(self) -> str:
        """The mechanism, surely or perhaps, with the evidence."""
        if self.mechanism is Mechanism.UNDECIDED:
            return self.evidence
        return f"{'' if self.denies else 'perhaps '}{self.mechanism.value}: {self.evidence}"

    def __str__(self) -> str:
        word = {True: "yes", False: "no", None: "perhaps"}[self.denies]
        return f"{self.mechanism.value}: {word}: {self.evidence}"


@dataclass(frozen=True, slots=True)
class Denial:
    """A request that failed: what is known about it."""

    known: Confinement
    request: str
    error: str = ""  #: the name of its errno, or how the caller ended; empty if unknown
    own_child: bool = True
    own_thread: bool = True  #: the calling thread forked the target

    @property
    def answer(self) -> str | None:
        """The answer for a pid that cannot exist; None if that was not tried, or gave none."""
        answer = self.known.answers.get(self.request)
        return None if answer == NO_ANSWER else answer

    @property
    def begins(self) -> bool:
        """True if the request begins tracing."""
        return self.request in ("PTRACE_SEIZE", "PTRACE_ATTACH", "PTRACE_TRACEME")

    @property
    def tried(self) -> str:
        """What the request for a pid that cannot exist showed."""
        if self.answer is None:
            how = "gave no answer" if self.request in self.known.answers else "was not tried"
            return f"{self.request} for a nonexistent pid {how}"
        return f"{self.request} for a nonexistent pid returns {self.answer}"

    def is_not(self, *errors: str) -> bool:
        """True if the error is known and none of these."""
        return bool(self.error) and self.error not in errors


#: The answer of a request whose process ended neither by it nor with a result.
NO_ANSWER = "no answer"

#: The answers of a kernel that does not have a request.
LACKING = ("EINVAL", "ENOSYS", "EIO")

#: The answers that only a filter gives: no kernel denies a request before it looks for the target.
ONLY_FILTERS = ("EPERM", "EACCES", "killed by signal 31")


def seccomp(one: Denial) -> MechanismCheck:
    """A filter, by the answer for a pid that cannot exist and by the mode that the kernel reports."""
    mode = one.known.seccomp

    def found(denies: bool | None, evidence: str) -> MechanismCheck:
        return MechanismCheck(Mechanism.SECCOMP, denies, evidence, "" if denies is False else _ALLOW)

    if mode is not None and mode != 2:
        return found(False, f"no filter is in force (Seccomp: {mode})")
    in_force = "filters are in force" if mode == 2 else "whether filters are in force is not visible here"
    if one.answer is None:
        return found(None, f"{in_force}; {one.tried}")
    if one.answer == "ESRCH":
        return found(False, f"{one.tried}, as the kernel does: no filter rejects it")
    if mode == 2 and one.answer.startswith("killed") and one.answer not in ONLY_FILTERS:
        return found(None, f"{in_force}; {one.tried}, which is not how a filter kills")
    if mode == 2:
        return found(True, f"{one.tried}, but the kernel returns ESRCH: a filter answers")
    if one.answer in ONLY_FILTERS:
        return found(True, f"{in_force}, but {one.tried}, which no kernel does: a filter answers")
    return found(None, f"{in_force}; {one.tried}, but Linux returns ESRCH")


def kernel(one: Denial) -> MechanismCheck:
    """An emulated or old kernel, by an answer that Linux does not give and that no filter explains."""
    mode = one.known.seccomp

    def found(denies: bool | None, evidence: str) -> MechanismCheck:
        remedy = "" if denies is False else "run on a Linux kernel that has the request, not on an emulation of one"
        return MechanismCheck(Mechanism.KERNEL, denies, evidence, remedy)

    if one.answer not in (None, "ESRCH"):
        if mode == 2:
            return found(False, "a filter answers before the kernel")
        if mode is None:
            unsure = None if one.answer not in ONLY_FILTERS else False
            return found(unsure, f"{one.tried}, as an emulated kernel may")
        strange = f"{one.tried} although no filter is in force"
        if one.known.tracer:
            return found(None, f"{strange}: an emulated kernel, or the tracer answers")
        if one.answer in ONLY_FILTERS:
            return found(None, f"{strange}: an emulated kernel, or a BPF program that overrides system calls")
        return found(True, f"{strange}: an emulated or old kernel, which lacks the request or does not check the pid")
    if one.error in LACKING:
        if one.answer is None and mode != 0:
            return found(None, f"{one.error} is the answer of a kernel that lacks the request")
        return found(True, f"no filter rejects {one.request}, and it returns {one.error}: the kernel lacks it")
    return found(False, "it knows the request" if one.answer else "nothing shows that it lacks the request")


def already_traced(one: Denial) -> MechanismCheck:
    """A tracer that traces the target already."""
    known = one.known

    def found(denies: bool | None, evidence: str) -> MechanismCheck:
        remedy = "" if denies is False else "run it without strace, gdb or another tracer that follows forks"
        return MechanismCheck(Mechanism.ALREADY_TRACED, denies, evidence, remedy)

    if not known.tracer and not known.child_tracer:
        return found(False, "TracerPid is 0")
    name = f" ({known.tracer_name})" if known.tracer_name else ""
    which = f"process {known.child_tracer or known.tracer}{name}"
    if not known.tracer:
        return found(not one.is_not("EPERM"), f"{which} traces the target")
    if one.is_not("EPERM"):
        return found(False, f"{which} traces this process, but a second tracer gets EPERM")
    if known.child_tracer == 0:
        return found(False, f"{which} traces this process and not its children")
    if known.child_tracer is None:
        return found(None, f"{which} traces this process; whether it traces the children was not seen")
    return found(True, f"{which} traces this process and its children")


def yama(one: Denial) -> MechanismCheck:
    """The scope of Yama."""
    known = one.known

    def found(denies: bool | None, evidence: str, remedy: str = "") -> MechanismCheck:
        return MechanismCheck(Mechanism.YAMA, denies, evidence, remedy)

    if one.is_not("EPERM"):
        return found(False, "Yama answers EPERM")
    if known.yama is None and known.modules and "yama" not in known.modules.split(","):
        return found(False, f"it is not active: {known.modules}")
    if known.yama is None and not known.yama_visible:
        return found(None, "/proc/sys/kernel/yama/ptrace_scope is not visible here", "read it where it is visible")
    if known.yama is None:
        return found(False, "there is no /proc/sys/kernel/yama/ptrace_scope")
    scope = f"ptrace_scope is {known.yama}"
    may = known.may(CAP_SYS_PTRACE)
    if known.yama >= 3:
        return found(
            True, f"{scope}: no process may trace", "reboot with a lower value; 3 cannot be changed at run time"
        )
    if known.yama == 2 and not may:
        remedy = "grant CAP_SYS_PTRACE, or set ptrace_scope to 0 or 1"
        return found(True, f"{scope}: tracing requires CAP_SYS_PTRACE", remedy)
    if known.yama == 1 and not (may or one.own_child):
        return found(
            True,
            f"{scope}: only descendants may be traced, and processes that allow it by PR_SET_PTRACER",
            "trace an own child, set ptrace_scope to 0, or grant CAP_SYS_PTRACE",
        )
    return found(False, scope + (", and CAP_SYS_PTRACE is effective" if known.yama and may else ""))


def capability(one: Denial) -> MechanismCheck:
    """CAP_SYS_PTRACE, where the target requires it."""
    known = one.known

    def found(denies: bool | None, evidence: str, remedy: str = "") -> MechanismCheck:
        return MechanismCheck(Mechanism.CAPABILITY, denies, evidence, remedy)

    if one.is_not("EPERM"):
        return found(False, "a missing capability is EPERM")
    if known.may(CAP_SYS_PTRACE):
        where = " in its own user namespace" if known.own_user_namespace else ""
        return found(False, f"CAP_SYS_PTRACE is effective{where}")
    if known.dumpable != 1:
        return found(
            True,
            f"this process and its children are not dumpable ({known.dumpable}): tracing them requires CAP_SYS_PTRACE",
            "call prctl(PR_SET_DUMPABLE, 1) after a change of user, make the program's file readable, or grant "
            "CAP_SYS_PTRACE",
        )
    if not one.own_child:
        return found(
            None,
            f"without CAP_SYS_PTRACE user {known.user} may trace only its own unprivileged processes",
            "grant CAP_SYS_PTRACE, or run as the user whose process it is",
        )
    if int(known.permitted or "0", 16) & ~int(known.capabilities or "0", 16):
        return found(
            True,
            f"children have the permitted capabilities {known.permitted}, and only {known.capabilities} are effective",
            "drop the permitted capabilities too, or make them effective",
        )
    return found(False, "tracing an own dumpable child requires no capability")


_ALLOW = (
    "use a profile that allows ptrace (Docker: its default one since Linux 4.8, or --cap-add SYS_PTRACE; older podman "
    "and containerd: a custom profile)"
)
