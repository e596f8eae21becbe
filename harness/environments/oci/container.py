"""A container of a plain OCI runtime under a profile as an environment, and a cell in it."""

from __future__ import annotations

import subprocess
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePath

from worldswitch.harness.environments.guardian import GuardedProcess
from worldswitch.harness.environments.host import HostCell
from worldswitch.harness.environments.images.tree import Tree
from worldswitch.harness.environments.oci import bundle, seccomp, user_mapping
from worldswitch.harness.environments.oci.bundle import Runtime
from worldswitch.harness.environments.oci.seccomp import SeccompTarget
from worldswitch.harness.environments.oci.spec import ContainerContext, Json, specification
from worldswitch.harness.environments.profiles import kernel_settings
from worldswitch.harness.environments.profiles.profile import IDLE, Limits, Profile
from worldswitch.harness.environments.run_resources import CGROUPS, RunResources
from worldswitch.harness.errors import Unobtainable

ROOTLESS = "in a user namespace, and without limits on processes and memory"
START_SECONDS = 30.0  #: for a container's first process to start


@dataclass(frozen=True, slots=True)
class OciSetup:
    """The runtime, tree and run that all containers of a run share."""

    runtime: Runtime
    tree: Tree
    run: RunResources


def unavailable(profile: Profile) -> Unobtainable | None:
    """Return why a runtime cannot provide the profile on this machine; None if it can."""
    try:
        mapped = user_mapping.mapped(profile)
    except Unobtainable as lack:
        return lack
    if mapped.get("rootless") and _limited(profile.limits) != _limited(Limits()):
        return Unobtainable(
            f"the profile {profile.name} sets limits, and without root there are no control groups to enforce them",
            "run as root, or use an engine: --engine docker",
        )
    return kernel_settings.unavailable(profile)


def _limited(limits: Limits) -> tuple[int, int]:
    return limits.pids, limits.memory_bytes


def _rootless(profile: Profile) -> dict[str, str]:
    ids = sum(mapping.count for mapping in user_mapping.mapped(profile)["users"])
    return {"rootless": ROOTLESS, "users": str(ids)}


class Oci:
    """A plain runtime's containers under a profile as an environment."""

    lane = None

    def __init__(self, setup: OciSetup, profile: Profile) -> None:
        self._setup = setup
        self.profile = profile
        self.name = f"oci:{profile.name}"
        self.facts: Mapping[str, str] = {
            "engine": setup.runtime.name,
            "image": setup.tree.id,
            "base": setup.tree.base,
            **({"default_filter": seccomp.digest(seccomp.default())} if profile.seccomp == "default" else {}),
            **(_rootless(profile) if setup.runtime.rootless else {}),
            **profile.facts,
        }

    def start(self, arguments: Sequence[str]) -> OciCell:
        """Run the suite in a new container."""
        return self.run(["python3", "-m", "worldswitch.harness.cell", *arguments, *self.profile.cell_options])

    def run(self, command: Sequence[str]) -> OciCell:
        """Run a command of the image in a new container.  Raises `Unobtainable`."""
        if self.profile.namespaces.pid != "shared":
            return OciCell(self._start(self.profile, command)[0])
        companion, pid_file = self._start(self.profile.companion(), IDLE)
        try:
            return OciCell(self._start(self.profile, command, self._first_process(companion, pid_file))[0], companion)
        except BaseException:
            companion.release()
            raise

    def _start(self, profile: Profile, command: Sequence[str], pid: int = 0) -> tuple[GuardedProcess, Path]:
        name = uuid.uuid4().hex[:12]
        specify = partial(self._specification, profile, command, name, pid)
        start, pid_file = bundle.prepare(self._setup.runtime, self._setup.run, self._setup.tree.path, name, specify)
        return GuardedProcess(start, stdout=subprocess.PIPE, stderr=subprocess.PIPE), pid_file

    def _specification(
        self, profile: Profile, command: Sequence[str], name: str, pid: int, image: PurePath, group: str
    ) -> Json:
        around = ContainerContext(
            name,
            image,
            environment=self._setup.tree.environment,
            folder=self._setup.tree.folder,
            machine=SeccompTarget.here(),
            cgroup=group,
            own_cgroups=(CGROUPS / "cgroup.controllers").exists(),
            pid=pid,
            **user_mapping.mapped(profile),
        )
        return specification(profile, command, around)

    def _first_process(self, companion: GuardedProcess, pid_file: Path) -> int:
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until and companion.process.poll() is None:
            if pid_file.exists() and (text := pid_file.read_text()):
                return int(text)
            time.sleep(0.02)
        raise Unobtainable(
            f"{self._setup.runtime.name} could not start the container whose PID namespace {self.name} shares",
            'try a profile without `pid = "shared"`, to see whether the runtime works',
        )


class OciCell(HostCell):
    """A cell in a container; the runtime is a child process, as the cell itself is on the host."""

    where = "in the container"

    def __init__(self, guarded: GuardedProcess, companion: GuardedProcess | None = None) -> None:
        super().__init__(guarded)
        self._companion = companion

    def wait(self, deadline: float) -> int:
        """Return the exit status and end the companion.  Raises TimeoutError."""
        status = super().wait(deadline)
        self.kill()
        return status

    def kill(self) -> None:
        """Kill the container's processes and the companion."""
        super().kill()
        if self._companion:
            self._companion.release()
