"""Probes of privileges, namespaces and seccomp."""

from __future__ import annotations

import errno
import os
import resource
from pathlib import Path

from worldswitch.harness.cell.probes import Absent, Look
from worldswitch.harness.linux import processes, ptrace, syscalls
from worldswitch.harness.ptrace_denial.in_a_child import landlock_domains


def _seccomp() -> str:
    ptrace.install_filter()
    return "a seccomp filter was accepted"


def _seccomp_everywhere() -> str:
    ptrace.install_filter(everywhere=True)
    return "a seccomp filter for all threads was accepted"


def _root() -> str:
    if os.geteuid() != 0:
        raise Absent(f"the effective user is {os.geteuid()}")
    return "the effective user is 0"


def _other_user() -> str:
    _root()
    os.setgroups([])
    os.setresgid(_NOBODY, _NOBODY, _NOBODY)
    os.setresuid(_NOBODY, _NOBODY, _NOBODY)
    return f"became user {_NOBODY}"


def _pidns() -> str:
    syscalls.unshare(syscalls.CLONE_NEWPID)
    return "unshare(CLONE_NEWPID)"


def _ns_last_pid() -> str:
    """Choose the next process id in a new PID namespace."""
    syscalls.unshare(syscalls.CLONE_NEWPID)
    processes.call_in_child(_choose_pid)
    return "/proc/sys/kernel/ns_last_pid chose the next process id"


def _choose_pid() -> None:
    Path("/proc/sys/kernel/ns_last_pid").write_text("41")
    if os.fork() not in (0, 42):
        raise OSError(errno.ENOSYS, "/proc/sys/kernel/ns_last_pid does not choose the next process id")


def _nproc() -> str:
    """Try to exceed RLIMIT_NPROC, as another user if root, which is exempt."""
    if os.getuid() == 0:
        os.setuid(_NOBODY)
    resource.setrlimit(resource.RLIMIT_NPROC, (1, resource.getrlimit(resource.RLIMIT_NPROC)[1]))
    try:
        processes.call_in_child(lambda: None)
    except BlockingIOError:
        return f"RLIMIT_NPROC stops user {os.getuid()}"
    raise Absent(f"RLIMIT_NPROC does not stop user {os.getuid()}")


def _mountns() -> str:
    syscalls.unshare(syscalls.CLONE_NEWNS)
    syscalls.make_mounts_private()
    return "unshare(CLONE_NEWNS) and private propagation"


def _yama() -> str:
    if not _YAMA.parents[1].is_dir():
        raise Absent("/proc/sys is not visible here, and with it ptrace_scope")
    try:
        scope = _YAMA.read_text().strip()
    except FileNotFoundError:
        raise Absent("no /proc/sys/kernel/yama") from None
    return f"ptrace_scope is {scope}"


def _landlock() -> str:
    """Count the Landlock domains that this process is in; a tracer in one traces only what is in it."""
    domains = landlock_domains()
    if domains is None:
        raise Absent("Landlock is not active, or a filter denies it")
    return f"Landlock is active; this process is in {domains} nested domains"


def _yama_settable() -> str:
    """Write Yama's machine-wide scope, only on a machine booted for this run."""
    scope = _yama()
    _pid1()
    _machine()
    if scope.endswith("3"):
        raise Absent(f"{scope}, which cannot be changed")
    _YAMA.write_text(_YAMA.read_text())
    return f"{scope}, and this run may set it"


_YAMA = Path("/proc/sys/kernel/yama/ptrace_scope")
_NOBODY = 65534

#: PROC_PID_INIT_INO, include/linux/proc_ns.h: the inode of the initial PID namespace.
_FIRST_PID_NAMESPACE = 0xEFFFFFFC


def _pid_namespace() -> int:
    try:
        return Path("/proc/self/ns/pid").stat().st_ino
    except OSError:
        raise Absent("/proc/self/ns/pid is not visible here") from None


def _container() -> str:
    if _pid_namespace() == _FIRST_PID_NAMESPACE:
        raise Absent("this is the initial PID namespace")
    return "this is not the initial PID namespace"


def _machine() -> None:
    if _pid_namespace() != _FIRST_PID_NAMESPACE:
        raise Absent("this is not the initial PID namespace, so not a machine booted for this run")


def _pid1() -> str:
    try:
        command = Path("/proc/1/cmdline").read_bytes().decode(errors="replace")
        name = Path("/proc/1/comm").read_text().strip()
    except OSError:
        raise Absent("process 1 is not visible here") from None
    if "worldswitch" not in command:
        raise Absent(f"process 1 is {name}")
    return f"process 1 is this run's {name}"


def _pty() -> str:
    keyboard, line = os.openpty()
    name = os.ttyname(line)
    os.close(keyboard)
    os.close(line)
    return f"opened the pseudoterminal {name}"


#: The probes of this file, by their names in a scenario's ``needs``.
PROBES: dict[str, Look] = {
    "seccomp": _seccomp,
    "seccomp_everywhere": _seccomp_everywhere,
    "root": _root,
    "other_user": _other_user,
    "pidns": _pidns,
    "ns_last_pid": _ns_last_pid,
    "nproc": _nproc,
    "mountns": _mountns,
    "landlock": _landlock,
    "yama": _yama,
    "yama_settable": _yama_settable,
    "container": _container,
    "pid1": _pid1,
    "pty": _pty,
}
