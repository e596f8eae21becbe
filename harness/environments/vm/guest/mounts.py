"""The guest's file systems: what a distribution's init would mount, as far as cells look at it."""

from __future__ import annotations

import ctypes
import errno
import os
import select
import signal
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from worldswitch.harness.linux import processes

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT, MS_BIND = 1, 2, 4, 8, 32, 4096  # linux/mount.h
MNT_DETACH = 2
CLONE_NEWPID = 0x20000000  # linux/sched.h

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Mount:
    """One line of an fstab."""

    kind: str
    to: str
    flags: int = MS_NOSUID | MS_NODEV | MS_NOEXEC
    options: str = ""


#: In the order in which they lie in each other.  The image has device files of its own, and /dev goes over them.
SYSTEM = (
    Mount("proc", "/proc"),
    Mount("sysfs", "/sys"),
    Mount("cgroup2", "/sys/fs/cgroup"),
    Mount("devtmpfs", "/dev", MS_NOSUID),
    Mount("devpts", "/dev/pts", MS_NOSUID | MS_NOEXEC, "ptmxmode=0666"),
    Mount("tmpfs", "/run", MS_NOSUID | MS_NODEV, "mode=0755"),
)

#: New for each cell, so that none finds what another left.
SCRATCH = (
    Mount("tmpfs", "/tmp", MS_NOSUID | MS_NODEV, "mode=1777,size=128m"),
    Mount("tmpfs", "/dev/shm", MS_NOSUID | MS_NODEV, "mode=1777,size=64m"),
)

RUNTIME = "/runtime"

NAMESPACE = "a new PID namespace"  #: as errors name it
NAMESPACE_SECONDS = 30.0  #: for its init to be there: the processor is emulated

CONTROLLERS = "+cpuset +memory +pids"


def mount(what: Mount) -> None:
    """Mount it; `OSError` if that cannot be."""
    Path(what.to).mkdir(parents=True, exist_ok=True)
    _check(
        _libc.mount(what.kind.encode(), what.to.encode(), what.kind.encode(), what.flags, what.options.encode()),
        what.to,
    )


def system() -> None:
    """Mount what stays."""
    for one in SYSTEM:
        mount(one)
    with suppress(OSError):  # not every kernel has it
        mount(Mount("mqueue", "/dev/mqueue"))
    with suppress(OSError):
        Path("/sys/fs/cgroup/cgroup.subtree_control").write_text(CONTROLLERS)
    for one in SCRATCH:
        mount(one)
    _lock(RUNTIME)


def _lock(place: str) -> None:
    """Have a folder be read-only.

    For the runtime's: crun protects itself from containers by running from a copy, unless nobody can write to it
    anyway, and Linux 5.10 lacks what makes a copy that it knows again.
    """
    for flags in (MS_BIND, MS_BIND | MS_REMOUNT | MS_RDONLY):
        _check(_libc.mount(place.encode(), place.encode(), b"", flags, b""), place)


def fresh() -> None:
    """Give the next cell empty folders."""
    for one in SCRATCH:
        _libc.umount2(one.to.encode(), MNT_DETACH)
        mount(one)


def new_pid_namespace() -> int:
    """Start the init of a new PID namespace, which does nothing but reap; its pid here.  It ends with the cell.

    Raises OSError.
    """
    told, tell = os.pipe()
    try:
        outside = processes.fork(lambda: _tell_of_init(tell))
    finally:
        os.close(tell)
    try:
        ready, _, _ = select.select([told], [], [], NAMESPACE_SECONDS)
        word = os.read(told, 20) if ready else b""
    finally:
        os.close(told)
        processes.end(outside)
    if not word:
        raise TimeoutError(errno.ETIMEDOUT, f"no word within {NAMESPACE_SECONDS:g} s", NAMESPACE)
    return _pid_or_error(int(word))


def _tell_of_init(tell: int) -> None:
    """Send the pid of a new namespace's init; if there can be none, the negative errno."""
    try:
        _check(_libc.unshare(CLONE_NEWPID), NAMESPACE)
        answer = processes.fork(_reap_for_ever)
    except OSError as problem:
        answer = -(problem.errno or errno.EIO)
    os.write(tell, str(answer).encode())


def _pid_or_error(answer: int) -> int:
    if answer < 0:
        raise OSError(-answer, os.strerror(-answer), NAMESPACE)
    return answer


def _reap_for_ever() -> None:
    os.closerange(0, os.sysconf("SC_OPEN_MAX"))
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps, and at once
    while True:
        signal.pause()


def power_off() -> None:
    """End the machine, at once: its disk is a copy that nobody reads again."""
    os.sync()
    _libc.reboot(0x4321FEDC)  # LINUX_REBOOT_CMD_POWER_OFF


def _check(result: int, name: str) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), name)
