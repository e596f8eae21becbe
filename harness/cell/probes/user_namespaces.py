"""The probe of a user namespace that one can use: its ids can be mapped, and its capabilities have effect."""

from __future__ import annotations

import errno
import functools
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from worldswitch.harness import ptrace_denial
from worldswitch.harness.cell.probes import Absent, Denied, Look, steps
from worldswitch.harness.cell.probes.steps import Failure, Step
from worldswitch.harness.linux import syscalls

CAP_SYS_ADMIN, CAP_SETFCAP = 21, 31  # include/uapi/linux/capability.h
UNSHARE, NO_FLAG = 272, 1 << 3  # arch/x86/entry/syscalls/syscall_64.tbl; unshare(2) knows no such flag
CREATE, USE = "unshare(CLONE_NEWUSER)", "sethostname in the namespace"


@dataclass(frozen=True, kw_only=True, slots=True)
class Evidence:
    """What decides about user namespaces; None where it is not visible, or the kernel has no such setting."""

    privileged: bool = False  #: CAP_SYS_ADMIN is effective
    maximum: int | None = None  #: user.max_user_namespaces
    unprivileged_clone: int | None = None  #: kernel.unprivileged_userns_clone, of Debian
    apparmor_restricts: int | None = None  #: kernel.apparmor_restrict_unprivileged_userns, of Ubuntu
    filter_answers: bool = False  #: a filter answers even an invalid unshare(2)
    filtered: bool = False  #: filters are in force
    label: str = ""  #: of a security module


def probe() -> str:
    """Create a user namespace, map this user and group into it, and use a capability there."""
    known = ptrace_denial.current()
    # Without the capability root may not be mapped, since Linux 5.12; without /proc nothing can be.
    maps = (known.user != 0 or known.may(CAP_SETFCAP)) and Path("/proc/self/uid_map").exists()
    failed = steps.first_failure(lambda: _steps(maps))
    if failed is None:
        return f"{CREATE}{', uid_map, gid_map' if maps else ''}, and {USE}"
    said, remedy = reason(failed, _evidence())
    raise (Denied if failed.denied else Absent)(f"{failed}: {said}" if said else str(failed), remedy)


def _steps(maps: bool) -> Iterator[Step]:
    user, group = os.geteuid(), os.getegid()
    yield CREATE, lambda: syscalls.unshare(syscalls.CLONE_NEWUSER)
    if maps:
        yield "uid_map", functools.partial(_write, "uid_map", f"0 {user} 1")
        yield "setgroups", functools.partial(_write, "setgroups", "deny")
        yield "gid_map", functools.partial(_write, "gid_map", f"0 {group} 1")
    yield "unshare(CLONE_NEWUTS) in the namespace", lambda: syscalls.unshare(syscalls.CLONE_NEWUTS)
    yield USE, lambda: socket.sethostname("worldswitch")


def _write(name: str, text: str) -> None:
    Path("/proc/self", name).write_text(text)


def _evidence() -> Evidence:
    known = ptrace_denial.current()
    invalid = steps.first_failure(lambda: [("unshare", lambda: syscalls.unshare(NO_FLAG))])
    return Evidence(
        privileged=known.may(CAP_SYS_ADMIN),
        maximum=_setting("user/max_user_namespaces"),
        unprivileged_clone=_setting("kernel/unprivileged_userns_clone"),
        apparmor_restricts=_setting("kernel/apparmor_restrict_unprivileged_userns"),
        filter_answers=known.seccomp == 2 and (invalid is None or invalid.errno != errno.EINVAL),
        filtered=known.seccomp == 2,
        label=known.label,
    )


def _setting(name: str) -> int | None:
    try:
        return int(Path("/proc/sys", name).read_text())
    except (OSError, ValueError):
        return None


def reason(failed: Failure, seen: Evidence) -> tuple[str, str]:
    """Return why a step failed, and the remedy; both are empty if no evidence shows them."""
    creating = failed.step == CREATE
    if creating and seen.filter_answers:
        return "seccomp: a filter answers", "use a profile that allows unshare(CLONE_NEWUSER)"
    if creating and failed.errno in (errno.ENOSPC, errno.EUSERS):
        if seen.maximum == 0:
            return "user.max_user_namespaces is 0", "`sysctl user.max_user_namespaces=10000`"
        return "a limit on their number or nesting is reached", ""
    if creating and failed.errno in (errno.ENOSYS, errno.EINVAL):
        return "the kernel has no user namespaces", "boot a kernel with CONFIG_USER_NS"
    if not failed.denied:
        return "", ""
    if creating and seen.unprivileged_clone == 0 and not seen.privileged:
        return "kernel.unprivileged_userns_clone is 0", "`sysctl kernel.unprivileged_userns_clone=1`, or run as root"
    if seen.apparmor_restricts == 1 and not seen.privileged:
        return (
            "AppArmor: kernel.apparmor_restrict_unprivileged_userns is 1",
            "`sysctl kernel.apparmor_restrict_unprivileged_userns=0`, or an AppArmor profile with the rule `userns,` "
            "for this program",
        )
    candidates = (
        ("seccomp: filters are in force", seen.filtered),
        (f"a security module: the label of this process is {seen.label}", bool(seen.label)),
        ("a chroot, in which the kernel creates none", creating and failed.errno == errno.EPERM),
    )
    told = "; or ".join(text for text, possible in candidates if possible)
    return (f"perhaps {told}", "") if told else ("", "")


#: The probe of this file, by its name in a scenario's ``needs``.
PROBES: dict[str, Look] = {"userns": probe}
