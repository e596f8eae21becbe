"""Find out by a test boot whether KVM works; the answer is cached until this host reboots.

A usable /dev/kvm proves nothing: if this host is itself a guest, a nested guest may die at its first instruction.
"""

from __future__ import annotations

import hashlib
import os
import platform
from pathlib import Path

from worldswitch.harness.environments.cache import cache
from worldswitch.harness.environments.protocol import Say
from worldswitch.harness.environments.vm.machine import Hardware, NoBoot, VirtualMachine
from worldswitch.harness.environments.vm.qemu import Accelerator, Shape
from worldswitch.harness.environments.vm.toolbox import QemuTools
from worldswitch.harness.linux import regular_file

DEVICE = Path("/dev/kvm")
PROBE_SECONDS = 20.0


def choose(tools: QemuTools, disk: Path, kernel: Path, say: Say, initramfs: Path | None = None) -> Accelerator:
    """Return `kvm` if a guest boots with it here, else `tcg`."""
    if not os.access(DEVICE, os.R_OK | os.W_OK):
        return "tcg"
    known = cache("kvm") / key(tools.id)
    if not known.exists():
        say(f"testing whether guests boot with {DEVICE}, for at most {PROBE_SECONDS:g} s")
        known.write_text("yes" if boots(Hardware(tools, disk, "kvm"), kernel, initramfs) else "no")
    return "kvm" if regular_file.read(known) == b"yes" else "tcg"


def boots(hardware: Hardware, kernel: Path, initramfs: Path | None = None) -> bool:
    """True if a guest boots within `PROBE_SECONDS`."""
    machine = VirtualMachine(hardware, kernel, Shape(), initramfs)
    try:
        machine.boot(PROBE_SECONDS)
    except NoBoot:
        return False
    finally:
        machine.close()
    return True


def key(tools: str) -> str:
    """Return a digest of the inputs of the answer: this host's kernel and boot, and the QEMU tools."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    parts = (platform.release(), platform.version(), boot.read_text() if boot.exists() else "", tools)
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
