"""A container of a plain OCI runtime under a profile as an environment, and a cell in it."""

from __future__ import annotations

import subprocess
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePath

from worldswitch.harness.environments import guardian
from worldswitch.harness.environments.guardian import GuardedProcess
from worldswitch.harness.environments.host import HostCell
from worldswitch.harness.environments.images.tree import Tree
from worldswitch.harness.environments.oci import bundle, seccomp, user_mapping
from worldswitch.harness.environments.oci.bundle import Runtime
from worldswitch.harness.environments.oci.seccomp import SeccompTarget
from worldswitch.harness.environments.oci.spec import ContainerContext, Json, specification
from worldswitch.harness.environments.profiles import devices, expected, kernel_settings
from worldswitch.harness.environments.profiles.profile import IDLE, Limits, Profile
from worldswitch.harness.environments.run_resources import CGROUPS, RunResources
from worldswitch.harness.errors import Unobtainable
from worldswitch.harness.linux import confinement

ROOTLESS = "in a user namespace, and without limits on processes and memory"
#: Exist on a kernel where the security module is enabled.
APPARMOR, SELINUX = "sys/module/apparmor/parameters/enabled", "sys/fs/selinux/enforce"
COPY_SECONDS = 120.0  #: for a container's own copy of the image
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
    except Unobtainable as problem:
        return problem
    if mapped.get("rootless") and _limited(profile.limits) != _limited(Limits()):
        return Unobtainable(
            f"the profile {profile.name} sets limits, and without root there are no control groups to enforce them",
            "run as root, or use an engine: --engine docker",
        )
    lacks = (_lacking_privilege, _lacking_in_the_kernel, _lacking_file, kernel_settings.unavailable)
    return next((lack for find in lacks if (lack := find(profile))), None)


def _lacking_privilege(profile: Profile) -> Unobtainable | None:
    shared = [name for name in ("ipc", "uts", "cgroup") if getattr(profile.namespaces, name) == "host"]
    asked = {
        "privileged": profile.privileged,
        "groups": profile.groups,
        **{f"namespaces.{name}": name for name in shared},
    }
    if not bundle.is_root() and (needs := [name for name, value in asked.items() if value]):
        return Unobtainable(
            f"the profile {profile.name} sets {', '.join(needs)}, which needs root without an engine",
            "run as root, or use an engine: --engine docker",
        )
    if not profile.read_only and bundle.is_root() and profile.namespaces.user == "mapped":
        return Unobtainable(
            f"the profile {profile.name} has a writable root and mapped users, to whom no file of the root belongs",
            "use an engine, which copies the files for them: --engine docker",
        )
    return None


def _lacking_in_the_kernel(profile: Profile, system: Path = Path("/")) -> Unobtainable | None:
    """Return what the kernel lacks or withholds from this process; a runtime does not say which it is."""
    lost = confinement.withheld(expected.settings(profile), system / "proc") if bundle.is_root() else []
    needs = [f"the capabilities {' '.join(lost)}, which not even root has here"] if lost else []
    if profile.apparmor not in ("", "unconfined") and not (system / APPARMOR).exists():
        needs.append(f"the AppArmor profile {profile.apparmor}, and AppArmor is not enabled in this kernel")
    if profile.selinux not in ((), ("disable",)) and not (system / SELINUX).exists():
        needs.append("a label of SELinux, which is not enabled in this kernel")
    if not needs:
        return None
    return Unobtainable(
        f"the profile {profile.name} needs {'; and '.join(needs)}",
        "run it on a machine that has them, or change the profile",
    )


def _lacking_file(profile: Profile) -> Unobtainable | None:
    """Return which file of this machine the profile needs and this machine does not have."""
    wanted = {mount.source: f"mounts {mount.target}" for mount in profile.mounts if mount.source}
    wanted |= {source: f"has the device {target}" for source, target, _ in devices.split(profile.devices)}
    for path, what in wanted.items():
        if not Path(path).exists():
            return Unobtainable(
                f"the profile {profile.name} {what} from {path}, and this machine has no such file",
                "create it, or write the path that this machine has into the profile",
            )
    return None


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
        confinement = expected.option(self.profile, limited=not self._setup.runtime.rootless)
        return self.run(["python3", "-m", "worldswitch.harness.cell", *arguments, *confinement])

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
        start, pid_file = bundle.prepare(self._setup.runtime, self._setup.run, self._root(profile), name, specify)
        return GuardedProcess(start, stdout=subprocess.PIPE, stderr=subprocess.PIPE), pid_file

    def _root(self, profile: Profile) -> Path:
        """Return the image's folder, or a copy of it for a container that changes it.

        A container changes its root if it may write to it, or if the runtime makes the target of a mount there.
        """
        shared = self._setup.tree.path
        if profile.read_only and all((shared / mount.target.lstrip("/")).exists() for mount in profile.mounts):
            return shared
        own = self._setup.run.scratch() / "root"
        try:
            guardian.run(["cp", "--archive", "--reflink=auto", str(shared), str(own)], COPY_SECONDS)
        except subprocess.SubprocessError as problem:
            raise Unobtainable(
                f"the image could not be copied for a container that changes it: {guardian.error_lines(problem)}",
                "make room in the cache folder, or use an engine: --engine docker",
            ) from problem
        return own

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
