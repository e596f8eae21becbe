"""The capabilities of a container's processes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from worldswitch.harness.linux.capabilities import ALL, EVERY, PREFIX

#: The engines' default.
USUAL = tuple(
    f"CAP_{name}"
    for name in (
        *("CHOWN", "DAC_OVERRIDE", "FSETID", "FOWNER", "MKNOD", "NET_RAW", "SETGID", "SETUID", "SETFCAP", "SETPCAP"),
        *("NET_BIND_SERVICE", "SYS_CHROOT", "KILL", "AUDIT_WRITE"),
    )
)

LAST = Path("/proc/sys/kernel/cap_last_cap")  #: the number of the kernel's newest capability


def granted(capabilities: Literal["default"] | Sequence[str]) -> tuple[str, ...]:
    """Return a profile's capabilities by their full names; ALL is every capability of this machine's kernel."""
    if capabilities == "default":
        return USUAL
    if ALL in capabilities:
        return EVERY[: int(LAST.read_text()) + 1] if LAST.exists() else EVERY
    return tuple(PREFIX + name for name in capabilities)


def sets(names: Sequence[str], *, root: bool) -> dict[str, list[str]]:
    """Return a process's capability sets.

    Without root only the bounding set has them: no file of the image grants capabilities, so the process has none.
    """
    where = ("bounding", "effective", "permitted") if root else ("bounding",)
    return {name: list(names) for name in where} if names else {}
