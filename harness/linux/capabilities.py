"""Capabilities by name, as in linux/capability.h."""

from __future__ import annotations

import difflib

#: All capabilities, in the kernel's order.
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
PREFIX = "CAP_"
ALL = "ALL"  #: every capability of the kernel


def normal(name: str) -> str:
    """Return a capability's name as engines read it, without the prefix: `cap_sys_ptrace` is SYS_PTRACE.

    Raises ValueError for an unknown one.
    """
    short = name.strip().upper().removeprefix(PREFIX)
    if short == ALL or PREFIX + short in EVERY:
        return short
    found = difflib.get_close_matches(short, [one.removeprefix(PREFIX) for one in EVERY], n=1)
    near = f"; did you mean {found[0]}?" if found else ""
    raise ValueError(f"{name!r} is no capability{near}")
