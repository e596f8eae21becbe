"""Mount the guest's file systems: those of a distribution's init that cells depend on."""

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
    """A mount, as a line of fstab."""

    kind: str
    to: str
    flags: int = MS_NOSUID | MS_NODEV | MS_NOEXEC
    options: str = ""


#: In mount order.  /dev hides the image's device files.
SYSTEM = (
    Mount("proc", "/proc"),
    Mount("sysfs", "/sys"),
    Mount("cgroup2", "/sys/fs/cgroup"),
    Mount("devtmpfs", "/dev", MS_NOSUID),
    Mount("devpts", "/dev/pts", MS_NOSUID | MS_NOEXEC, "ptmxmode=0666"),
    Mount("tmpfs", "/run", MS_NOSUID | MS_NODEV, "mode=0755"),
)

#: New for each cell, so that no cell finds files of another.
SCRATCH = (
    Mount("tmpfs", "/tmp", MS_NOSUID | MS_NODEV, "mode=1777,size=128m"),
    Mount("tmpfs", "/dev/shm", MS_NOSUID | MS_NODEV, "mode=1777,size=64m"),
)

RUNTIME = "/runtime"

NAMESPACE = "a new PID namespace"  #: its name in errors
NAMESPACE_SECONDS = 30.0  #: for its init to start: the CPU may be emulated

CONTROLLERS = "+cpuset +memory +pids"


def mount(entry: Mount) -> None:
    """Mount a file system, creating the mount point.  Raises OSError."""
    Path(entry.to).mkdir(parents=True, exist_ok=True)
    _check(
        _libc.mount(entry.kind.encode(), entry.to.encode(), entry.kind.encode(), entry.flags, entry.options.encode()),
        entry.to,
    )


def is_initramfs() -> bool:
    """True if the root is the file system that the kernel unpacks an initramfs to."""
    with open("/proc/self/mounts") as lines:
        return next(lines, "").startswith("rootfs / rootfs ")


def system() -> None:
    """Mount everything at boot."""
    for entry in SYSTEM:
        mount(entry)
    with suppress(OSError):  # optional in the kernel
        mount(Mount("mqueue", "/dev/mqueue"))
    with suppress(OSError):
        Path("/sys/fs/cgroup/cgroup.subtree_control").write_text(CONTROLLERS)
    for entry in SCRATCH:
        mount(entry)
    _make_read_only(RUNTIME)


def _make_read_only(folder: str) -> None:
    """Bind-mount a folder read-only over itself.

    Unless its executable is read-only, crun protects it from containers by running from a copy in memory, and on Linux
    5.10 crun fails to recognise the copy.
    """
    for flags in (MS_BIND, MS_BIND | MS_REMOUNT | MS_RDONLY):
        _check(_libc.mount(folder.encode(), folder.encode(), b"", flags, b""), folder)


def fresh() -> None:
    """Mount new scratch folders for the next cell."""
    for entry in SCRATCH:
        _libc.umount2(entry.to.encode(), MNT_DETACH)
        mount(entry)


def new_pid_namespace() -> int:
    """Start the init of a new PID namespace, which only reaps and ends with the cell; returns its pid here.

    Raises OSError.
    """
    reader, writer = os.pipe()
    try:
        outside = processes.fork(lambda: _report_init(writer))
    finally:
        os.close(writer)
    try:
        ready, _, _ = select.select([reader], [], [], NAMESPACE_SECONDS)
        answer = os.read(reader, 20) if ready else b""
    finally:
        os.close(reader)
        processes.end(outside)
    if not answer:
        raise TimeoutError(errno.ETIMEDOUT, f"no answer within {NAMESPACE_SECONDS:g} s", NAMESPACE)
    if (pid := int(answer)) < 0:
        raise OSError(-pid, os.strerror(-pid), NAMESPACE)
    return pid


def _report_init(writer: int) -> None:
    """Write the pid of a new namespace's init, or a negative errno."""
    try:
        _check(_libc.unshare(CLONE_NEWPID), NAMESPACE)
        answer = processes.fork(_reap_for_ever)
    except OSError as problem:
        answer = -(problem.errno or errno.EIO)
    os.write(writer, str(answer).encode())


def _reap_for_ever() -> None:
    os.closerange(0, os.sysconf("SC_OPEN_MAX"))
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps at once
    while True:
        signal.pause()


def power_off() -> None:
    """Power the machine off at once: its disk is a temporary copy."""
    os.sync()
    _libc.reboot(0x4321FEDC)  # LINUX_REBOOT_CMD_POWER_OFF


def _check(result: int, name: str) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), name)
