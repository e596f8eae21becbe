"""A kernel in a virtual machine as an environment: the whole guest, or a container in it under a profile.

Image and container specification are those of containers on this host; only the kernel differs.
"""

from __future__ import annotations

import functools
import json
import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import PurePath

import msgspec

from worldswitch.harness.environments.images import tree
from worldswitch.harness.environments.images.tree import Tree
from worldswitch.harness.environments.kernels.image import KernelImage, environment_of
from worldswitch.harness.environments.oci import seccomp
from worldswitch.harness.environments.oci.spec import ContainerContext, specification
from worldswitch.harness.environments.oci.spec import IdMapping as Ids
from worldswitch.harness.environments.profiles import expected, kernel_settings
from worldswitch.harness.environments.profiles.profile import Profile
from worldswitch.harness.environments.protocol import Say
from worldswitch.harness.environments.run_resources import RunResources
from worldswitch.harness.environments.vm import disk, initramfs, kvm_probe, toolbox
from worldswitch.harness.environments.vm.cell import GuestCell
from worldswitch.harness.environments.vm.machine import Boot, Hardware, MachineParts
from worldswitch.harness.environments.vm.qemu import PROCESSORS, Shape
from worldswitch.harness.environments.vm.reused_machine import ReusedMachine
from worldswitch.harness.errors import Unobtainable
from worldswitch.harness.linux.release import minor

#: More emulated CPUs make a guest slower, since they wait for each other.
MOST_CPUS = 2

COMMAND = ("python3", "-m", "worldswitch.harness.cell")
IMAGE = PurePath("/image")  #: on a guest's disk
USERS = (Ids(0, 100000, 65536),)  #: mapping of a user namespace in a guest, which has no other users
GUEST_FOLDERS = ("/dev", "/proc", "/sys")  #: exist in every guest
YAMA_LOCKED = 3  #: Yama's scope that only a reboot resets


def machine_parts(kernel: KernelImage, run: RunResources, say: Say) -> MachineParts:
    """Find or make QEMU and the disk, and choose the accelerator by booting `kernel`.  Raises `Unobtainable`."""
    image = tree.obtain(run, say)
    tools = toolbox.obtain(run, say)
    made = disk.obtain(image, tools, run, say)
    archive = functools.cache(functools.partial(initramfs.obtain, image, tools, run, say))
    used = archive() if kernel.why_initramfs else None
    return MachineParts(Hardware(tools, made, kvm_probe.choose(tools, made, kernel.image, say, used)), image, archive)


class GuestEnvironment:
    """A kernel in a virtual machine; with a profile, a container in it."""

    def __init__(self, lane: ReusedMachine, tree: Tree, profile: Profile | None = None, machines: int = 1) -> None:
        """Run cells in the machine of `lane`; `machines` is the number of concurrent machines on this host."""
        self.lane = lane
        self._tree = tree
        self.profile = profile
        self.name = environment_of(lane.name) + (f":{profile.name}" if profile else "")
        self._shape = Shape(cpus(machines), options=_boot_options(profile))
        self._boot_facts: dict[str, str] = {}

    @property
    def facts(self) -> Mapping[str, str]:
        """Its description in results; facts of the boot are added by the first `start`."""
        hardware = self.lane.hardware
        return {
            **(self.lane.kernel.facts if self.lane.kernel else {}),
            "engine": f"crun {hardware.tools.crun}" if self.profile else f"QEMU {hardware.tools.qemu}",
            "qemu": hardware.tools.qemu,
            "accelerator": hardware.accelerator,
            "processor": PROCESSORS[hardware.accelerator],
            "image": self._tree.id,
            "base": self._tree.base,
            "time_scale": str(hardware.time_scale),
            **(self.profile.facts if self.profile else {}),
            "trials": str(trials(self._shape.cpus, self.profile.limits.trials if self.profile else 0)),
            **self._boot_facts,
        }

    def start(self, arguments: Sequence[str]) -> GuestCell:
        """Run the suite in the kernel's machine, booted if necessary.  Raises `Unobtainable`."""
        if self.profile and (lack := unavailable(self.profile)):
            raise lack
        observed = self._is_observed and not {"--mutant", "--facts"}.intersection(arguments)
        up = self.lane.machine(self._shape, observed=observed)
        self._boot_facts = boot_facts(up.boot, up.number)
        known = ("--observed", msgspec.json.encode(up.observed).decode()) if up.observed else ()
        command = [*COMMAND, *with_facts(arguments, self._boot_facts), *known]
        if self.profile:
            command += expected.option(self.profile)
            if self.profile.kernel.yama == YAMA_LOCKED or self.profile.mounts or not self.profile.read_only:
                self.lane.spoil()  # the container changes the guest's disk, or what only a reboot resets
        number = self.lane.number()
        return GuestCell(up.machine, number, self._order(number, command, up.boot), self.lane.spoil)

    @property
    def _is_observed(self) -> bool:
        """True if facts about the machine's kernel hold in its cells: a cell under its own sysctls may differ."""
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


def unavailable(profile: Profile) -> Unobtainable | None:
    """Return why no guest can provide the profile: it has none of this machine's files and security policies."""
    outside = [one.source for one in profile.mounts if one.source and not one.source.startswith(GUEST_FOLDERS)]
    needs = [*(f"the folder {path} of this machine" for path in outside)]
    needs += [f"the AppArmor profile {profile.apparmor}"] if profile.apparmor not in ("", "unconfined") else []
    needs += ["a policy of SELinux"] if profile.selinux not in ((), ("disable",)) else []
    if not needs:
        return None
    return Unobtainable(
        f"the profile {profile.name} needs {' and '.join(needs)}, which a virtual machine does not have",
        "run it on this machine's own kernel: --engine docker, or --engine oci",
    )


def _boot_options(profile: Profile | None) -> dict[str, str]:
    words = profile.kernel.command_line if profile else ()
    return dict(word.partition("=")[::2] for word in words)


def boot_facts(boot: Boot, boots: int) -> dict[str, str]:
    """Return the facts of an environment that a boot determines."""
    return {
        "guest": f"Linux {boot.kernel} {boot.version}",
        "boot_seconds": f"{boot.seconds:g}",
        "boots": str(boots),
        "taint": str(boot.taint),
        "cpus": str(boot.cpus),
    }


def with_facts(arguments: Sequence[str], facts: Mapping[str, str]) -> list[str]:
    """Return a cell's arguments with `facts` added to those in `--environment`."""
    words = list(arguments)
    if "--environment" in words:
        index = words.index("--environment") + 1
        words[index] = json.dumps(json.loads(words[index]) | facts)
    return words


def cpus(machines: int = 1) -> int:
    """Return the number of CPUs of a guest when `machines` guests share this host."""
    return min(MOST_CPUS, processors() // min(machines, processors()))


def processors() -> int:
    """Return the number of CPUs that this process may use."""
    return len(os.sched_getaffinity(0))


def trials(cpus: int, limit: int = 0) -> int:
    """Return the number of worker processes for concurrent trials; 0 runs them in the suite's own process.

    A single worker process would only double the start-up time.
    """
    most = min(cpus, limit or cpus)
    return most if most > 1 else 0
