"""Capabilities by name, and which of them a container's processes have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

#: All of them, in the kernel's order (linux/capability.h).
EVERY = tuple(
    f"CAP_{name}"
    for name in (
        *("CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP"),
        *("LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER"),
        *("SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE"),
        *("SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP"),
        *("MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF"),
        "CHECKPOINT_RESTORE",
    )
)

#: What engines grant where nobody says otherwise.
USUAL = tuple(
    f"CAP_{name}"
    for name in (
        *("CHOWN", "DAC_OVERRIDE", "FSETID", "FOWNER", "MKNOD", "NET_RAW", "SETGID", "SETUID", "SETFCAP", "SETPCAP"),
        *("NET_BIND_SERVICE", "SYS_CHROOT", "KILL", "AUDIT_WRITE"),
    )
)


def granted(said: Literal["default"] | Sequence[str]) -> tuple[str, ...]:
    """Return the capabilities that a profile grants, by their full names."""
    return USUAL if said == "default" else tuple(f"CAP_{name}" for name in said)


def sets(names: Sequence[str], *, root: bool) -> dict[str, list[str]]:
    """Return a process's sets.

    Who is not root gets them into the bounding set alone: no file of the image has capabilities, so they hold none.
    """
    where = ("bounding", "effective", "permitted") if root else ("bounding",)
    return {name: list(names) for name in where} if names else {}
