"""How QEMU and the guest's kernel are told what machine to be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from worldswitch.harness.environments.vm.toolbox import QemuTools

Accelerator: TypeAlias = Literal["kvm", "tcg"]

GUEST = "worldswitch.harness.environments.vm.guest"  #: the module that is a guest's first process
CODE_MIB = 256  #: for translated code, where the processor is emulated

#: The processor that guests see.  Emulated, EPYC has AVX2 and XSAVE, and runs faster than the larger ones; protection
#: keys and five levels of page tables, which few machines have both, cost it some 5 %.
PROCESSORS: Mapping[Accelerator, str] = {"kvm": "host", "tcg": "EPYC,+pku,+la57"}

#: What the kernel is told whatever it is to do.  A panic ends the machine; what distrusts a processor that is not
#: there is left out, and so are its own tests at boot; a busy host may hold an emulated processor up for long.
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
    # Names without a dot that the kernel does not know become the environment of its first process.
    "PYTHONPATH": "/opt/worldswitch",
    "PYTHONSAFEPATH": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
}
KERNEL_FLAGS = ("quiet", "rw", "rootwait")


@dataclass(frozen=True, slots=True)
class Shape:
    """What a machine has; what differs here takes a boot of its own."""

    cpus: int = 1
    memory: int = 1536  #: MiB; a profile's limit and the suite beside it must fit in
    options: Mapping[str, str] = field(default_factory=dict)  #: for the kernel: ``vsyscall=xonly``


def command(tools: QemuTools, accelerator: Accelerator, shape: Shape, kernel: Path, disk: Path, link: int) -> list[str]:
    """QEMU's command line: console on standard output, and the link to the guest on the open socket `link`."""
    accel = f"tcg,thread=multi,tb-size={CODE_MIB}" if accelerator == "tcg" else "kvm"
    return [
        *tools.command("usr/bin/qemu-system-x86_64"),
        *("-machine", "q35", "-accel", accel, "-cpu", PROCESSORS[accelerator]),
        *("-smp", str(shape.cpus), "-m", f"{shape.memory}M"),
        *("-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"),
        *(word for folder in tools.firmware for word in ("-L", str(folder))),
        *("-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console"),
        *("-chardev", f"socket,id=link,fd={link}", "-serial", "chardev:link"),
        *("-drive", f"file={disk},if=none,id=root,format=raw,snapshot=on", "-device", "nvme,drive=root,serial=root"),
        *("-kernel", str(kernel), "-append", kernel_line(shape.options)),
    ]


def kernel_line(options: Mapping[str, str]) -> str:
    """The kernel's command line; its first process's own words come last."""
    named = {**KERNEL_OPTIONS, **options}
    words = [*(f"{name}={value}" for name, value in named.items()), *KERNEL_FLAGS]
    return " ".join([*words, "init=/usr/bin/python3", "--", "-m", GUEST])


def noteworthy(lines: Sequence[str]) -> list[str]:
    """What QEMU said that somebody should read: not what its emulated processor lacks of the one it is named after."""
    return [line for line in lines if "TCG doesn't support requested feature" not in line]
