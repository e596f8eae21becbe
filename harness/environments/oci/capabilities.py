"""The capabilities of a container's processes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from worldswitch.harness.linux.capabilities import EVERY, PREFIX

#: The engines' default.
USUAL = tuple(
    f"CAP_{name}"
    for name in (
        *("CHOWN", "DAC_OVERRIDE", "FSETID", "FOWNER", "MKNOD", "NET_RAW", "SETGID", "SETUID", "SETFCAP", "SETPCAP"),
        *("NET_BIND_SERVICE", "SYS_CHROOT", "KILL", "AUDIT_WRITE"),
    )
)


def granted(capabilities: Literal["default", "all"] | Sequence[str]) -> tuple[str, ...]:
    """Return a profile's capabilities by their full names."""
    if isinstance(capabilities, str):
        return {"default": USUAL, "all": EVERY}[capabilities]
    return tuple(f"{PREFIX}{name}" for name in capabilities)


def sets(names: Sequence[str], *, root: bool) -> dict[str, list[str]]:
    """Return a process's capability sets.

    Without root only the bounding set has them: no file of the image grants capabilities, so the process has none.
    """
    where = ("bounding", "effective", "permitted") if root else ("bounding",)
    return {name: list(names) for name in where} if names else {}
