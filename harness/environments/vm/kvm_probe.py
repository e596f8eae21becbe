"""Whether a guest's processor must be emulated: found out by booting one, and kept for as long as this host runs.

That /dev/kvm is there, opens, and makes a machine proves nothing: where this host is a guest itself, what runs in
such a machine may end at its first instruction.
"""

from __future__ import annotations

import hashlib
import os
import platform
from pathlib import Path
from typing import TYPE_CHECKING

from worldswitch.harness.environments.cache import cache
from worldswitch.harness.environments.vm.machine import Hardware, NoBoot, VirtualMachine
from worldswitch.harness.environments.vm.qemu import Accelerator, Shape

if TYPE_CHECKING:
    from worldswitch.harness.environments.protocol import Say
    from worldswitch.harness.environments.vm.toolbox import QemuTools

DEVICE = Path("/dev/kvm")
PROBE_SECONDS = 20.0


def choose(tools: QemuTools, disk: Path, kernel: Path, say: Say) -> Accelerator:
    """`kvm` if a guest boots with it here, else `tcg`."""
    if not os.access(DEVICE, os.R_OK | os.W_OK):
        return "tcg"
    known = cache("kvm") / key(tools.id)
    if not known.exists():
        say(f"trying whether guests boot with {DEVICE}, for {PROBE_SECONDS:g} s at most")
        known.write_text("yes" if boots(Hardware(tools, disk, "kvm"), kernel) else "no")
    return "kvm" if known.read_text() == "yes" else "tcg"


def boots(hardware: Hardware, kernel: Path) -> bool:
    """Whether a guest comes up."""
    machine = VirtualMachine(hardware, kernel, Shape())
    try:
        machine.boot(PROBE_SECONDS)
    except NoBoot:
        return False
    finally:
        machine.close()
    return True


def key(tools: str) -> str:
    """Name what the answer depends on: this host's kernel, its processor, and QEMU; and this boot of it."""
    parts = (platform.release(), platform.version(), _read("/proc/sys/kernel/random/boot_id"), tools)
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def _read(path: str) -> str:
    return Path(path).read_text() if Path(path).exists() else ""
