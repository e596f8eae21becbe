"""The answer of a seccomp filter to a system call: the value that its program returns."""

from __future__ import annotations

import errno
from dataclasses import dataclass

# include/uapi/linux/seccomp.h
ACTION, DATA = 0xFFFF_0000, 0xFFFF
KILL_PROCESS, KILL_THREAD, TRAP, ERRNO = 0x8000_0000, 0x0000_0000, 0x0003_0000, 0x0005_0000
NOTIFY, TRACE, LOG, ALLOW = 0x7FC0_0000, 0x7FF0_0000, 0x7FFC_0000, 0x7FFF_0000

#: The values of actions, by libseccomp's names.
VALUES = {
    "SCMP_ACT_KILL_PROCESS": KILL_PROCESS,
    "SCMP_ACT_KILL_THREAD": KILL_THREAD,
    "SCMP_ACT_KILL": KILL_THREAD,
    "SCMP_ACT_TRAP": TRAP,
    "SCMP_ACT_ERRNO": ERRNO,
    "SCMP_ACT_NOTIFY": NOTIFY,
    "SCMP_ACT_TRACE": TRACE,
    "SCMP_ACT_LOG": LOG,
    "SCMP_ACT_ALLOW": ALLOW,
}
NAMES = {value: name for name, value in reversed(VALUES.items())}
WITH_DATA = ("SCMP_ACT_ERRNO", "SCMP_ACT_TRACE")
MOST_ERRNO = 4095  #: MAX_ERRNO, include/linux/err.h


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer, and the rule that decided it."""

    value: int  #: what the program returns
    rule: str = ""

    @property
    def action(self) -> str:
        """The name of the action."""
        return NAMES.get(self.value & ACTION, f"action {self.value:#x}")

    @property
    def allowed(self) -> bool:
        """True if the kernel carries out the call."""
        return self.value & ACTION in (ALLOW, LOG)

    @property
    def errno(self) -> int | None:
        """The errno of a call that returns without being carried out, 0 for a success; None if it does not return.

        SCMP_ACT_TRACE answers ENOSYS unless a tracer has asked for it, and SCMP_ACT_NOTIFY without a listener too.
        """
        kind = self.value & ACTION
        if kind == ERRNO:
            return min(self.value & DATA, MOST_ERRNO)
        return errno.ENOSYS if kind in (TRACE, NOTIFY) else None

    @property
    def kills(self) -> bool:
        """True if the caller dies of SIGSYS, unless it handles that signal."""
        return not self.allowed and self.errno is None

    def __str__(self) -> str:
        number = self.errno
        if self.value & ACTION != ERRNO or number is None:
            return self.action
        return f"{self.action} {errno.errorcode.get(number, number)}" if number else f"{self.action} 0, a false success"


def value_of(action: str, number: int | None) -> int:
    """Return the value that a runtime gives an action; EPERM is the default errno."""
    return VALUES[action] | ((errno.EPERM if number is None else number) & DATA if action in WITH_DATA else 0)
