"""The guest's file systems: what a distribution's init would mount, as far as cells look at it."""

from __future__ import annotations

import ctypes
import os
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

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
    """Start the init of a new PID namespace, which does nothing but reap; its number here.  It ends with the cell."""
    reader, writer = os.pipe()
    outside = os.fork()
    if outside == 0:
        _check(_libc.unshare(CLONE_NEWPID), "a new PID namespace")
        inside = os.fork()
        if inside == 0:
            while True:
                with suppress(ChildProcessError):
                    os.wait()
                time.sleep(0.1)
        os.write(writer, str(inside).encode())
        os._exit(0)
    os.waitpid(outside, 0)
    os.close(writer)  # the init has another: what is waited for is a word, and not the end
    os.set_blocking(reader, False)
    try:
        return int(os.read(reader, 20))
    finally:
        os.close(reader)


def power_off() -> None:
    """End the machine, at once: its disk is a copy that nobody reads again."""
    os.sync()
    _libc.reboot(0x4321FEDC)  # LINUX_REBOOT_CMD_POWER_OFF


def _check(result: int, name: str) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), name)
