"""Capabilities by name, and those of a container's processes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

#: All capabilities, in the kernel's order (linux/capability.h).
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
    return tuple(f"CAP_{name}" for name in capabilities)


def sets(names: Sequence[str], *, root: bool) -> dict[str, list[str]]:
    """Return a process's capability sets.

    Without root only the bounding set has them: no file of the image grants capabilities, so the process has none.
    """
    where = ("bounding", "effective", "permitted") if root else ("bounding",)
    return {name: list(names) for name in where} if names else {}
