"""Who this process is, where it is confined, and what it may change about that."""

from __future__ import annotations

import os
from pathlib import Path

from worldswitch.harness import syscalls, tracing
from worldswitch.harness.abilities import Absent, Look


def _seccomp() -> str:
    syscalls.prctl(syscalls.PR_SET_NO_NEW_PRIVS, 1)
    tracing.install_empty_filter()
    return "a filter of its own was accepted"


def _root() -> str:
    if os.geteuid() != 0:
        raise Absent(f"the effective user is {os.geteuid()}")
    return "the effective user is 0"


def _pidns() -> str:
    syscalls.unshare(syscalls.CLONE_NEWPID)
    return "unshare(CLONE_NEWPID)"


def _mountns() -> str:
    syscalls.unshare(syscalls.CLONE_NEWNS)
    syscalls.make_mounts_private()
    return "unshare(CLONE_NEWNS) and a private mount tree"


def _userns() -> str:
    syscalls.unshare(syscalls.CLONE_NEWUSER)
    return "unshare(CLONE_NEWUSER)"


def _yama() -> str:
    try:
        scope = Path("/proc/sys/kernel/yama/ptrace_scope").read_text().strip()
    except FileNotFoundError:
        raise Absent("no /proc/sys/kernel/yama") from None
    return f"ptrace_scope is {scope}"


#: PROC_PID_INIT_INO, include/linux/proc_ns.h: the number of the namespace that is in no other.
_FIRST_PID_NAMESPACE = 0xEFFFFFFC


def _container() -> str:
    if Path("/proc/self/ns/pid").stat().st_ino == _FIRST_PID_NAMESPACE:
        raise Absent("this is the machine's own PID namespace")
    return "a PID namespace of its own"


def _pid1() -> str:
    command = Path("/proc/1/cmdline").read_bytes().decode(errors="replace")
    name = Path("/proc/1/comm").read_text().strip()
    if "worldswitch" not in command:
        raise Absent(f"process 1 is {name}")
    return f"process 1 is this run's own {name}"


def _pty() -> str:
    keyboard, line = os.openpty()
    name = os.ttyname(line)
    os.close(keyboard)
    os.close(line)
    return f"a pseudo terminal, {name}"


#: The probes of this file, by the name a scenario's ``needs`` calls each.
PROBES: dict[str, Look] = {
    "seccomp": _seccomp,
    "root": _root,
    "pidns": _pidns,
    "mountns": _mountns,
    "userns": _userns,
    "yama": _yama,
    "container": _container,
    "pid1": _pid1,
    "pty": _pty,
}
