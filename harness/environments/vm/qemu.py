"""The command lines of QEMU and of the guest's kernel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

from worldswitch.harness.environments.vm.toolbox import QemuTools

Accelerator: TypeAlias = Literal["kvm", "tcg"]

GUEST = "worldswitch.harness.environments.vm.guest"  #: the module that runs as a guest's first process
INIT = "/usr/bin/python3"  #: on the disk, and in an initramfs
CODE_MIB = 256  #: QEMU's cache of translated code

#: The guest's CPU model.  Emulated, EPYC has AVX2 and XSAVE and is faster than larger models; protection keys and
#: five-level page tables, which few machines have both, cost about 5 %.
PROCESSORS: Mapping[Accelerator, str] = {"kvm": "host", "tcg": "EPYC,+pku,+la57"}

#: Kernel parameters of every guest.  A panic ends the machine.  Mitigations and self-tests at boot are off, for speed.
#: The RCU stall timeout is long, since a busy host may not run an emulated CPU for a while.
KERNEL_OPTIONS: Mapping[str, str] = {
    "console": "ttyS0",
    "loglevel": "4",
    "panic": "-1",
    "mitigations": "off",
    "audit": "0",
    "cryptomgr.notests": "1",
    "rcupdate.rcu_cpu_stall_timeout": "120",
    "root": "/dev/nvme0n1",
    "rootfstype": "ext4",
    # The kernel passes unknown names without a dot to its first process as environment variables.
    "PYTHONPATH": "/opt/worldswitch",
    "PYTHONSAFEPATH": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
}
KERNEL_FLAGS = ("quiet", "rw", "rootwait")


@dataclass(frozen=True, slots=True)
class Shape:
    """A machine's configuration; a different one needs another boot."""

    cpus: int = 1
    memory: int = 1536  #: MiB; must hold a profile's memory limit and the suite
    options: Mapping[str, str] = field(default_factory=dict)  #: kernel parameters: ``vsyscall=xonly``


def command(
    tools: QemuTools,
    accelerator: Accelerator,
    shape: Shape,
    kernel: Path,
    disk: Path,
    link: int,
    initramfs: Path | None = None,
) -> list[str]:
    """Return QEMU's command line: the console is standard output, the serial link is the open socket `link`.

    An initramfs gets memory in addition to the guest's: the archive and its files are there at the same time.
    """
    memory = shape.memory + (2 * initramfs.stat().st_size >> 20 if initramfs else 0)
    accel = f"tcg,thread=multi,tb-size={CODE_MIB}" if accelerator == "tcg" else "kvm"
    return [
        *tools.command("usr/bin/qemu-system-x86_64"),
        *("-machine", "q35", "-accel", accel, "-cpu", PROCESSORS[accelerator]),
        *("-smp", str(shape.cpus), "-m", f"{memory}M"),
        *("-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"),
        *(word for folder in tools.firmware for word in ("-L", str(folder))),
        *("-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console"),
        *("-chardev", f"socket,id=link,fd={link}", "-serial", "chardev:link"),
        *("-drive", f"file={disk},if=none,id=root,format=raw,snapshot=on", "-device", "nvme,drive=root,serial=root"),
        *("-kernel", str(kernel), "-append", kernel_line(shape.options)),
        *(("-initrd", str(initramfs)) if initramfs else ()),
    ]


def kernel_line(options: Mapping[str, str]) -> str:
    """Return the kernel's command line; the arguments of its first process come last."""
    named = {**KERNEL_OPTIONS, **options}
    words = [*(f"{name}={value}" for name, value in named.items()), *KERNEL_FLAGS]
    return " ".join([*words, f"init={INIT}", f"rdinit={INIT}", "--", "-m", GUEST])


def noteworthy(lines: Sequence[str]) -> list[str]:
    """Return QEMU's output without warnings about CPU features that emulation lacks."""
    return [line for line in lines if "TCG doesn't support requested feature" not in line]
