"""The capabilities of a container's processes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from worldswitch.harness.linux.capabilities import full

#: The engines' default.
USUAL = tuple(
    f"CAP_{name}"
    for name in (
        *("CHOWN", "DAC_OVERRIDE", "FSETID", "FOWNER", "MKNOD", "NET_RAW", "SETGID", "SETUID", "SETFCAP", "SETPCAP"),
        *("NET_BIND_SERVICE", "SYS_CHROOT", "KILL", "AUDIT_WRITE"),
    )
)


def granted(capabilities: Literal["default"] | Sequence[str]) -> tuple[str, ...]:
    """Return a profile's capabilities by their full names; ALL is every capability of this machine's kernel."""
    return USUAL if capabilities == "default" else full(capabilities)


def sets(names: Sequence[str], *, root: bool) -> dict[str, list[str]]:
    """Return a process's capability sets.

    Without root only the bounding set has them: no file of the image grants capabilities, so the process has none.
    """
    where = ("bounding", "effective", "permitted") if root else ("bounding",)
    return {name: list(names) for name in where} if names else {}
