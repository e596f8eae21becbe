"""A kernel in a virtual machine as an environment: the whole guest for the suite, or a container in it under a profile.

The image is the one that containers on this host have, and a container is made from the same specification; only that
below it is another kernel.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING

import msgspec

from worldswitch.harness.environments.kernels.image import environment_of
from worldswitch.harness.environments.oci import seccomp
from worldswitch.harness.environments.oci.spec import ContainerContext, specification
from worldswitch.harness.environments.oci.spec import IdMapping as Ids
from worldswitch.harness.environments.profiles import kernel_settings
from worldswitch.harness.environments.vm import disk, kvm_probe, toolbox
from worldswitch.harness.environments.vm.cell import GuestCell
from worldswitch.harness.environments.vm.machine import Boot, Hardware, MachineParts
from worldswitch.harness.environments.vm.qemu import PROCESSORS, Shape
from worldswitch.harness.environments.vm.reused_machine import ReusedMachine
from worldswitch.harness.linux.release import minor

if TYPE_CHECKING:
    from worldswitch.harness.environments.images.tree import Tree
    from worldswitch.harness.environments.kernels.image import KernelImage
    from worldswitch.harness.environments.profiles.profile import Profile
    from worldswitch.harness.environments.protocol import Say
    from worldswitch.harness.environments.run_resources import RunResources

#: More processors than this make an emulated guest slower, for they wait for each other.
MOST_CPUS = 2

COMMAND = ("python3", "-m", "worldswitch.harness.cell")
IMAGE = PurePath("/image")  #: on a guest's disk
USERS = (Ids(0, 100000, 65536),)  #: whom the users of a user namespace are in a guest, where nobody else is
YAMA_LOCKED = 3  #: the scope of Yama that only a boot undoes


def machine_parts(kernel: KernelImage, run: RunResources, say: Say) -> MachineParts:
    """Find or make QEMU and the disk, and see, by booting a kernel, what QEMU can accelerate by.

    Raises `Unobtainable`.
    """
    from worldswitch.harness.environments.images import tree

    image = tree.obtain(run, say)
    tools = toolbox.obtain(run, say)
    made = disk.obtain(image, tools, run, say)
    return MachineParts(Hardware(tools, made, kvm_probe.choose(tools, made, kernel.image, say)), image)


class GuestEnvironment:
    """A kernel in a virtual machine; with a profile, a container in it."""

    def __init__(self, rack: ReusedMachine, tree: Tree, profile: Profile | None = None, machines: int = 1) -> None:
        """Take the machine of a rack, beside which those of others run: so many in all, while there are processors."""
        self._rack = self.lane = rack
        self._tree = tree
        self.profile = profile
        self.name = environment_of(rack.name) + (f":{profile.name}" if profile else "")
        self._shape = Shape(cpus(machines), options=_boot_options(profile))
        self._seen: dict[str, str] = {}

    @property
    def facts(self) -> Mapping[str, str]:
        """What is known of it; as soon as there is a machine, also what was seen of that."""
        hardware = self._rack.hardware
        return {
            **(self._rack.kernel.facts if self._rack.kernel else {}),
            "engine": f"crun {hardware.tools.crun}" if self.profile else f"QEMU {hardware.tools.qemu}",
            "qemu": hardware.tools.qemu,
            "accelerator": hardware.accelerator,
            "processor": PROCESSORS[hardware.accelerator],
            "image": self._tree.id,
            "base": self._tree.base,
            "time_scale": str(hardware.time_scale),
            **(self.profile.facts if self.profile else {}),
            "trials": str(trials(self._shape.cpus, self.profile.limits.trials if self.profile else 0)),
            **self._seen,
        }

    def start(self, arguments: Sequence[str]) -> GuestCell:
        """Run the suite in the kernel's machine, which is booted if need be."""
        up = self._rack.machine(self._shape, observed=self._is_observed and "--mutant" not in arguments)
        self._seen = seen(up.boot, up.number)
        known = ("--observed", msgspec.json.encode(up.observed).decode()) if up.observed else ()
        command = [*COMMAND, *with_facts(arguments, self._seen), *known]
        if self.profile and self.profile.kernel.yama == YAMA_LOCKED:
            self._rack.spoil()
        number = self._rack.number()
        return GuestCell(up.machine, number, self._order(number, command, up.boot), self._rack.spoil)

    @property
    def _is_observed(self) -> bool:
        """Whether its kernel behaves in its cells as in the rest of the machine: settings that last as long do not."""
        return not (self.profile and kernel_settings.required_sysctls(self.profile.kernel))

    def _order(self, number: int, command: Sequence[str], boot: Boot) -> dict[str, object]:
        if not self.profile:
            return {"command": command, "environment": self._tree.environment, "folder": self._tree.folder}
        found = ContainerContext(
            id=f"cell-{number}",
            root=IMAGE,
            environment=self._tree.environment,
            folder=self._tree.folder,
            machine=seccomp.SeccompTarget(platform.machine(), minor(boot.kernel)),
            cgroup=f"/cell-{number}",
            own_cgroups=True,
            users=USERS if self.profile.namespaces.user == "mapped" else (),
            groups=USERS if self.profile.namespaces.user == "mapped" else (),
        )
        return {
            "configuration": specification(self.profile, command, found),
            "sysctls": kernel_settings.required_sysctls(self.profile.kernel),
        }


def _boot_options(profile: Profile | None) -> dict[str, str]:
    words = profile.kernel.command_line if profile else ()
    return dict(word.partition("=")[::2] for word in words)


def seen(boot: Boot, boots: int) -> dict[str, str]:
    """What a boot adds to what is known of an environment."""
    return {
        "guest": f"Linux {boot.kernel} {boot.version}",
        "boot_seconds": f"{boot.seconds:g}",
        "boots": str(boots),
        "taint": str(boot.taint),
        "cpus": str(boot.cpus),
    }


def with_facts(arguments: Sequence[str], facts: Mapping[str, str]) -> list[str]:
    """A cell's arguments, with more facts among those on its environment."""
    words = list(arguments)
    if "--environment" in words:
        place = words.index("--environment") + 1
        words[place] = json.dumps(json.loads(words[place]) | facts)
    return words


def cpus(machines: int = 1) -> int:
    """How many processors a guest has, of so many that share this host."""
    return min(MOST_CPUS, processors() // min(machines, processors()))


def processors() -> int:
    """How many this host has for us."""
    return len(os.sched_getaffinity(0))


def trials(cpus: int, limit: int = 0) -> int:
    """How many trials at a time such a guest runs, with a profile's limit; else one after the other in its own process.

    A second process takes twice as long to begin, for nothing.
    """
    most = min(cpus, limit or cpus)
    return most if most > 1 else 0
