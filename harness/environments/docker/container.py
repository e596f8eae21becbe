"""A container of an engine under a profile as an environment, and a cell in it.

Results leave through the container's standard output and the log through its standard error: the container shares no
folder with the host, and output from before a crash is not lost.
"""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import docker
from docker.types import LogConfig, Mount, Ulimit

from worldswitch.harness.cell import frames
from worldswitch.harness.cell.frames import LineTooLong
from worldswitch.harness.environments.cache import LABEL, PLACE_LABEL, place
from worldswitch.harness.environments.docker.bounded import ERRORS, BoundedDocker, explanation, remove
from worldswitch.harness.environments.docker.engine import Engine
from worldswitch.harness.environments.docker.image import Image
from worldswitch.harness.environments.profiles import devices, expected, kernel_settings, mounts
from worldswitch.harness.environments.profiles.mounts import PROPAGATION, STANDARD
from worldswitch.harness.environments.profiles.profile import IDLE, Profile
from worldswitch.harness.environments.run_resources import API_SECONDS, RunResources
from worldswitch.harness.errors import Unobtainable
from worldswitch.harness.linux import processes

SHARED_MEMORY = "64m"
LOG_CHUNKS = 400
EXIT_SECONDS = 10  #: from the end of the output to the exit status


def settings(profile: Profile, engine: Engine, run: str, companion: str = "") -> dict[str, Any]:
    """Return the arguments that create a container: the profile's settings, and the confinement that all cells have.

    `companion` is the container whose PID namespace it shares, if the profile says so.
    """
    return {
        **_capabilities(profile),
        "labels": {LABEL: run, PLACE_LABEL: place()},
        "user": profile.user,
        "security_opt": profile.security_options,
        "init": profile.init,
        "pids_limit": profile.limits.pids,
        "mem_limit": profile.limits.memory,
        "memswap_limit": profile.limits.memory,
        "network_mode": "none",
        "read_only": profile.read_only,
        "tmpfs": {"/tmp": ",".join(STANDARD["/tmp"]), **_tmpfs(profile)},
        "shm_size": SHARED_MEMORY,
        "ulimits": [Ulimit(name=name, soft=soft, hard=hard) for name, soft, hard in profile.ulimits.all()],
        "log_config": LogConfig(type=LogConfig.types.NONE),  # the cell attaches before the start and misses no output
        "cgroup_parent": engine.cgroup_parent,
        "pid_mode": {"private": None, "host": "host", "shared": f"container:{companion}"}[profile.namespaces.pid],
        "userns_mode": "" if profile.namespaces.user == "mapped" else "host",
        "sysctls": profile.sysctls,
        **{name: value for name, value in _asked(profile).items() if value},
    }


def _capabilities(profile: Profile) -> dict[str, Any]:
    if profile.capabilities == "default":
        return {}
    if profile.capabilities == "all":
        return {"cap_add": ["ALL"]}
    return {"cap_drop": ["ALL"], "cap_add": list(profile.capabilities)}


def _tmpfs(profile: Profile) -> dict[str, str]:
    return {one.target: ",".join(one.flags) for one in profile.mounts if one.type == "tmpfs"}


def _asked(profile: Profile) -> dict[str, Any]:
    """Return the arguments that only profiles with other settings than the usual have."""
    return {
        "privileged": profile.privileged,
        "group_add": list(profile.groups),
        "mounts": [_mount(one) for one in profile.mounts if one.type != "tmpfs"],
        "devices": [":".join(device) for device in devices.split(profile.devices)],
        "ipc_mode": profile.namespaces.ipc.replace("private", ""),
        "uts_mode": profile.namespaces.uts.replace("private", ""),
        "cgroupns": profile.namespaces.cgroup.replace("default", ""),
    }


def _mount(asked: mounts.Mount) -> Mount:
    propagation = next((option for option in asked.options if option in PROPAGATION), None)
    read_only = "ro" in asked.options
    return Mount(asked.target, asked.source or None, asked.type, read_only=read_only, propagation=propagation)


def unavailable(profile: Profile, engine: Engine) -> Unobtainable | None:
    """Return why this engine cannot provide the profile; None if it can."""
    if lack := kernel_settings.unavailable(profile):
        return lack
    if profile.namespaces.user == "mapped" and not engine.maps_users:
        return Unobtainable(
            f"the profile {profile.name} needs a user namespace, and {engine.name} provides none",
            "start the engine with --userns-remap; or stop it and run as root, for a private engine that maps ids",
        )
    for mount in profile.mounts:
        if lost := [one for one in mount.options if mount.type != "tmpfs" and one not in ("ro", "rw", *PROPAGATION)]:
            return Unobtainable(
                f"the profile {profile.name} mounts {mount.target} with {', '.join(lost)}, and the engine's interface "
                f"has no such option for type {mount.type}",
                "use a plain runtime: --engine oci; or a tmpfs",
            )
    return None


class Docker:
    """An engine's containers under a profile as an environment."""

    lane = None

    def __init__(self, engine: Engine, image: Image, profile: Profile, run: RunResources) -> None:
        self._engine = engine
        self._image = image
        self._run = run
        self.profile = profile
        self.name = f"docker:{profile.name}"
        self.facts: Mapping[str, str] = {
            "engine": engine.name,
            "image": image.id,
            "base": image.base,
            **profile.facts,
        }

    def start(self, arguments: Sequence[str]) -> ContainerCell:
        """Run the suite in a new container."""
        return self.run(["python3", "-m", "worldswitch.harness.cell", *arguments, *expected.option(self.profile)])

    def run(self, command: Sequence[str]) -> ContainerCell:
        """Run a command of the image in a new container.  Raises `Unobtainable`."""
        client: docker.DockerClient | None = None
        made: list[str] = []
        try:
            client = BoundedDocker(self._engine.url)
            if self.profile.namespaces.pid == "shared":
                made.append(self._companion(client))
            options = settings(self.profile, self._engine, self._run.id, *made)
            made.append(str(client.containers.create(self._image.name, list(command), **options).id))
            return ContainerCell(client, self._engine.url, *reversed(made))
        except ERRORS as problem:
            for container in reversed(made):
                remove(self._engine.url, container)
            if client:
                client.close()
            raise Unobtainable(
                f"the engine could not start a container under the profile {self.profile.name}: {explanation(problem)}",
                "check that the engine supports the settings of the profile",
            ) from problem

    def _companion(self, client: docker.DockerClient) -> str:
        """Start the companion; returns its id."""
        options = settings(self.profile.companion(), self._engine, self._run.id)
        container = client.containers.create(self._image.name, IDLE, **options)
        container.start()
        return str(container.id)


class ContainerCell:
    """A cell in a container, followed through its two streams."""

    def __init__(self, client: docker.DockerClient, url: str, container: str, *companions: str) -> None:
        self._client = client
        self._url = url
        self._container = container
        self._companions = companions  #: containers to remove with this one
        self._lines: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._log: deque[bytes] = deque(maxlen=LOG_CHUNKS)
        self._status: int | None = None
        self._broken: Exception | None = None
        self._streams = client.api.attach(container, stdout=True, stderr=True, stream=True, demux=True)
        self._reader = threading.Thread(target=self._read, args=(self._streams,), daemon=True)
        self._reader.start()
        client.api.start(container)
        #: Host pid of the container's first process, to kill it if the engine hangs.
        self._pid: int = client.api.inspect_container(container)["State"]["Pid"]

    def _read(self, streams: Iterator[tuple[bytes | None, bytes | None]]) -> None:
        try:
            for line in frames.lines(self._output(streams)):
                self._lines.put(line + b"\n")
        except LineTooLong as problem:
            self._broken = problem
        except ERRORS as problem:  # the output ends here
            self._log.append(f"\nthe engine's stream of the output ended: {explanation(problem)}\n".encode())
        except Exception as problem:  # raised again by `frames`
            self._broken = problem
        finally:
            self._lines.put(None)
        # The garbage collector would close the socket first, and Python 3.13 warns about that.
        response = getattr(streams, "_response", None)
        if response is not None:
            response.close()

    def _output(self, streams: Iterator[tuple[bytes | None, bytes | None]]) -> Iterator[bytes]:
        """Yield the pieces of the standard output, and keep those of the log."""
        for out, log in streams:
            if log:
                self._log.append(log)
            if out:
                yield out

    def frames(self) -> Iterator[bytes]:
        """Yield the lines of the cell's standard output."""
        yield from iter(self._lines.get, None)
        if self._broken:
            raise self._broken

    @property
    def log(self) -> str:
        """The tail of the cell's standard error."""
        return b"".join(tuple(self._log)).decode(errors="replace")

    def wait(self, deadline: float) -> int:
        """Return the exit status and remove the container.  Raises TimeoutError."""
        self._reader.join(deadline)
        if self._reader.is_alive():
            raise TimeoutError(f"the suite in the container did not end within {deadline:g} s")
        if self._status is None:
            self._status = self._exit_status()
            self._remove()
        return self._status

    def _exit_status(self) -> int:
        try:
            return int(self._client.api.wait(self._container, timeout=EXIT_SECONDS)["StatusCode"])
        except ERRORS as problem:
            raise TimeoutError(
                f"the engine did not report the exit status of the container: {explanation(problem)}"
            ) from problem

    def kill(self) -> None:
        """Remove the container through the engine; kill its first process if the engine hangs."""
        self._remove()
        self._reader.join(API_SECONDS)
        if self._reader.is_alive() and self._pid:
            processes.kill_if(self._pid, self._is_ours)
            self._remove()
        if self._reader.is_alive():  # an engine may send output of a container that is gone
            with suppress(*ERRORS):
                self._streams.close()
        self._client.close()

    def _is_ours(self, pid: int) -> bool:
        """True if the recorded pid is in this container: pids are reused, and the engine may be remote."""
        with suppress(OSError):
            return self._container in Path(f"/proc/{pid}/cgroup").read_text()
        return False

    def _remove(self) -> None:
        for container in (self._container, *self._companions):
            remove(self._url, container)
