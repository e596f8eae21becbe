"""The first process of a machine: mounts file systems, starts the supervisor, reaps orphans and powers off.

Only the kernel starts it, as ``python3 -m worldswitch.harness.environments.vm.guest``.
"""

from __future__ import annotations

import os
import signal
import sys
import termios
import time
import traceback
import tty
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from worldswitch.harness.environments.vm.guest import kernel, mounts
from worldswitch.harness.environments.vm.guest.serial_link import MessageSender, received
from worldswitch.harness.environments.vm.guest.supervisor import GuestContext, Supervisor
from worldswitch.harness.linux import syscalls

PORT = "/dev/ttyS1"
RUNTIME = Path(mounts.RUNTIME)
CLEAR_SECONDS = 30.0  #: from SIGKILL to the end of all processes
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

#: A long watchdog threshold: with an emulated CPU a busy host looks like a lock-up.
SYSCTLS = {"kernel/watchdog_thresh": "60", "kernel/printk": "4 4 1 7"}


def main() -> int:
    """Run as the init of this machine."""
    if os.getpid() != 1:
        print("this program is the first process of a virtual machine and must have pid 1", file=sys.stderr)
        return 2
    try:
        _be_init()
    except BaseException:
        traceback.print_exc()  # to the console, whose tail the host stores
    finally:
        mounts.power_off()
    return 1


def _be_init() -> None:
    mounts.system()
    for name, value in SYSCTLS.items():
        with suppress(OSError):
            (Path("/proc/sys") / name).write_text(value)
    os.environ.update(PATH=PATH, LANG="C.UTF-8", HOME="/tmp")
    supervisor = os.fork()
    if supervisor == 0:
        try:
            _supervise()
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(0)
    while os.wait()[0] != supervisor:
        pass


def _supervise() -> None:
    port = os.open(PORT, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    tty.setraw(port)
    log = kernel.KernelLogReader()
    sender = MessageSender(lambda data: syscalls.write_all(port, data))
    log.new()
    system = os.uname()
    sender.send(
        {
            "say": "boot",
            "kernel": system.release,
            "version": system.version,
            "taint": kernel.taint(),
            "cpus": os.cpu_count(),
        }
    )
    around = GuestContext(
        runtime=(
            str(RUNTIME / "ld.so"),
            "--library-path",
            str(RUNTIME / "lib"),
            str(RUNTIME / "crun"),
            "--root=/run/crun",
            "--cgroup-manager=cgroupfs",
        ),
        # The kernel refuses pivot_root(2) while an initramfs is the root.
        run=("run", "--no-pivot") if mounts.is_initramfs() else ("run",),
        bundles=Path("/run/cells"),
        clear=_clear,
        renew=mounts.fresh,
        new_lines=log.new,
        companion=mounts.new_pid_namespace,
    )
    Supervisor(sender, around).serve(received(_chunks(port)))
    termios.tcdrain(port)


def _chunks(port: int) -> Iterator[bytes]:
    while chunk := os.read(port, 1 << 12):
        yield chunk


def _clear() -> None:
    """Kill every process but init and this one; kernel threads have no executable."""
    assert os.getppid() == 1
    spared = {1, os.getpid()}
    end = time.monotonic() + CLEAR_SECONDS
    while (found := [pid for pid in _user_processes() if pid not in spared]) and time.monotonic() < end:
        for pid in found:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)


def _user_processes() -> Iterator[int]:
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            (folder / "exe").readlink()
            yield int(folder.name)


if __name__ == "__main__":
    sys.exit(main())
