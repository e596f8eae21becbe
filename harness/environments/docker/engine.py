"""The container engine: a running one, else a private one for this run.

A running engine is any that serves Docker's API, at ``DOCKER_HOST`` or at one of the usual sockets.  A private engine
is an installed `dockerd`, started as root with its own data, sockets, containerd, control groups and mounts.  It leaves
the network configuration (no bridge, no packet filter; cells have no network) and other engines on the machine alone.
Its guardian stops it when the run ends.
"""

from __future__ import annotations

import grp
import os
import pwd
import shlex
import shutil
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import docker

from worldswitch.harness.cell.probes import table
from worldswitch.harness.environments import distribution, run_resources
from worldswitch.harness.environments.apt_install import install_engine
from worldswitch.harness.environments.cache import LABEL, PLACE_LABEL, place
from worldswitch.harness.environments.docker.address import named
from worldswitch.harness.environments.docker.bounded import ERRORS, BoundedClient, BoundedDocker, brief
from worldswitch.harness.environments.guardian import GuardedProcess
from worldswitch.harness.environments.oci.spec import FIRST_MAPPED, MAPPED, NOBODY
from worldswitch.harness.environments.protocol import Say
from worldswitch.harness.environments.run_resources import RunResources, reach
from worldswitch.harness.errors import Unobtainable

PING_SECONDS = 5
START_SECONDS = 30.0
SWEEP_SECONDS = 20.0  #: to remove the containers of dead runs
STOP_SECONDS = 4.0  #: from SIGTERM to dockerd to SIGKILL to all its descendants

SSH = "ssh://"
FORWARD = "ssh -N -L /tmp/engine.sock:/var/run/docker.sock HOST, and DOCKER_HOST=unix:///tmp/engine.sock"


@dataclass(frozen=True, slots=True)
class Engine:
    """An engine that answers requests."""

    url: str
    client: docker.DockerClient
    name: str  #: with version, for the results
    private: bool
    cgroup_parent: str | None = None
    maps_users: bool = False  #: True if its containers may have user namespaces


def obtain(run: RunResources, *, install: bool, map_users: bool = False, say: Say) -> Engine:
    """Find or start an engine for this run, with a guardian for the run.  Raises `Unobtainable`.

    An engine started here gives its containers user namespaces if `map_users`.
    """
    tried: list[str] = []
    for url in addresses():
        if found := answering(url, tried):
            run.record_engine(url)
            run.guardian = GuardedProcess(run=run.id, keep=[run.lock])
            run.closing.callback(found.client.close)
            return found
    refuse_named(tried)
    if install and not shutil.which("dockerd"):
        say("installing docker.io")
        install_engine("docker.io")
    check_startable(tried)
    instead = "".join(f"{one}; " for one in tried)
    say(f"{instead}starting a private container engine" + (" that maps user ids" if map_users else ""))
    return start(run, map_users=map_users)


def addresses() -> list[str]:
    """Return the addresses to try: that of the engine that is named, if one is, else the existing sockets.

    Raises `Unobtainable` if the name cannot be read.
    """
    if given := named():
        return [given.url]
    own = os.environ.get("XDG_RUNTIME_DIR", f"/run/user/{os.getuid()}")
    sockets = ("/var/run/docker.sock", f"{own}/docker.sock", "/run/podman/podman.sock", f"{own}/podman/podman.sock")
    return [f"unix://{path}" for path in sockets if Path(path).exists()]


def answering(url: str, tried: list[str]) -> Engine | None:
    """Return the engine at `url`; if there is none, append the reason to `tried`."""
    if url.startswith(SSH):
        tried.append(f"{url} is not supported: this program does not connect by ssh")
        return None
    try:
        return _connect(url, private=False)
    except ERRORS as problem:
        tried.append(f"{url} does not answer ({_cause(problem)})")
        return None


def _connect(url: str, *, private: bool, cgroup_parent: str | None = None) -> Engine:
    reach(url)
    with BoundedClient(url, PING_SECONDS) as client:
        version, options = client.version(), client.info().get("SecurityOptions") or ()
    system = version.get("Platform", {}).get("Name") or "Docker"
    maps_users = any(option.startswith("name=userns") for option in options)
    return Engine(url, BoundedDocker(url), f"{system} {version['Version']}", private, cgroup_parent, maps_users)


def _cause(problem: BaseException) -> str:
    """Return the system's error below a library's exceptions, if there is one, else the message."""
    if isinstance(problem, PermissionError):
        return "permission denied for this user"
    said, below = str(problem), problem
    while below := below.__cause__ or below.__context__:  # type: ignore[assignment]
        said = getattr(below, "strerror", None) or said
    return brief(getattr(problem, "strerror", None) or said)


def refuse_named(tried: list[str]) -> None:
    """Raise `Unobtainable` if an engine is named: no other may be tested in its place."""
    if given := named():
        other = f"forward its socket ({FORWARD})" if given.url.startswith(SSH) else "start that engine"
        raise Unobtainable(
            f"{given.by} names the engine to use, and {'; '.join(tried) or f'{given.url} was not tried'}",
            f"{other}, correct {given.by} (unix:///run/docker.sock, tcp://127.0.0.1:2375), or unset it",
        )


def check_startable(tried: list[str]) -> None:
    """Raise `Unobtainable` if a private engine cannot be started here."""
    refuse_named(tried)
    context = "; ".join(tried) or "no container engine runs here"
    if os.getuid() != 0:
        raise Unobtainable(
            f"{context}, and starting a private one needs root",
            "start a Docker engine that this user may use, or run as root with --install-engine",
        )
    if not shutil.which("dockerd"):
        raise Unobtainable(
            f"{context}, and dockerd is not installed",
            f"run again with --install-engine, or: {distribution.install('docker.io')}",
        )
    if (mounts := table.probe("mountns")).state != "yes":
        raise Unobtainable(
            f"{context}, and a private one needs mount namespaces, which do not work here: {mounts.detail}",
            "start a Docker engine on a machine with them, and name it by DOCKER_HOST",
        )


# --------------------------------------------------------------------------------------------------- private engine


def start(run: RunResources, *, map_users: bool = False) -> Engine:
    """Start a private engine for this run.  Raises `Unobtainable`."""
    make_folders(run)
    url = f"unix://{run.sockets}/docker.sock"
    run.record_engine(url)
    with (run.folder / "engine.log").open("w+b") as log:
        run.guardian = guarded = GuardedProcess(
            daemon_command(run, url, map_users=map_users),
            grace=STOP_SECONDS,
            run=run.id,
            stdout=log,
            stderr=log,
            keep=[run.lock],
        )
        deadline = time.monotonic() + START_SECONDS
        while guarded.process.poll() is None and time.monotonic() < deadline:
            with suppress(*ERRORS):
                found = _connect(url, private=True, cgroup_parent=f"/worldswitch-{run.id}")
                run.closing.callback(found.client.close)
                return found
            time.sleep(0.05)
        last_line = _last_line(log)
    raise Unobtainable(
        f"the private dockerd did not come up within {START_SECONDS:g} s; its last output: {last_line}",
        "run `dockerd --debug` to see the cause, or start a Docker engine yourself",
    )


def make_folders(run: RunResources) -> None:
    """Make the folders of a private engine.

    Its data are in the cache, usually below a home that mapped users may not enter; so the engine sees them through a
    bind mount next to its sockets.
    """
    (run.folder / "data").mkdir()
    run.passable("data")


def daemon_command(run: RunResources, url: str, *, map_users: bool = False) -> list[str]:
    """Return the command of a private dockerd.

    Its mounts are in its own namespace and end with it.  There a tmpfs hides /run/containerd, else dockerd would use
    the system's containerd.
    """
    empty = run.folder / "daemon.json"
    empty.write_text("{}")
    data = run.sockets / "data"
    show = f"mount --bind {shlex.quote(str(run.folder / 'data'))} {shlex.quote(str(data))}"
    prepare, options = _user_mapping(run) if map_users else ([], [])
    return [
        *("unshare", "--mount", "--propagation", "private", "--"),
        *("sh", "-c", " && ".join((HIDE_CONTAINERD, show, *prepare, 'exec "$@"')), "sh"),
        *("dockerd", f"--config-file={empty}", f"--host={url}", f"--pidfile={run.sockets}/docker.pid"),
        *(f"--data-root={data}", f"--exec-root={run.sockets}/exec"),
        *("--exec-opt=native.cgroupdriver=cgroupfs", f"--cgroup-parent=/worldswitch-{run.id}"),
        *("--bridge=none", "--iptables=false", "--ip6tables=false", "--ip-forward=false", "--ip-masq=false"),
        *("--userland-proxy=false", "--shutdown-timeout=1", "--log-level=warn"),
        *options,
    ]


HIDE_CONTAINERD = "mkdir -p /run/containerd && mount -t tmpfs tmpfs /run/containerd"


def _user_mapping(run: RunResources) -> tuple[list[str], list[str]]:
    """Return commands and options for a dockerd that maps user ids; both are empty where the kernel allows no mapping.

    dockerd reads the ids from /etc/subuid and /etc/subgid; its mount namespace has a file of the run in their place.
    """
    try:
        user, group = pwd.getpwuid(NOBODY).pw_name, grp.getgrgid(NOBODY).gr_name
        possible = int(USER_NAMESPACES.read_text()) > 0 and all(file.exists() for file in SUBORDINATES)
    except (KeyError, OSError):
        return [], []
    if not possible:
        return [], []
    ranges = run.folder / "subordinates"
    ranges.write_text("".join(f"{name}:{FIRST_MAPPED}:{MAPPED}\n" for name in dict.fromkeys((user, group))))
    prepare = [f"mount --bind {shlex.quote(str(ranges))} {file}" for file in SUBORDINATES]
    return prepare, [f"--userns-remap={user}:{group}"]


USER_NAMESPACES = Path("/proc/sys/user/max_user_namespaces")
SUBORDINATES = (Path("/etc/subuid"), Path("/etc/subgid"))


def _last_line(log: BinaryIO) -> str:
    """Return the log's last line from the open file: when the engine ends, its guardian unlinks the log."""
    log.seek(0)
    lines = log.read().decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else "none"


# ------------------------------------------------------------------------------------------------------------ sweep


def sweep(engine: Engine) -> None:
    """Remove containers of dead runs of this cache from an engine that outlived them.  Raises `Unobtainable`."""
    live = run_resources.live_runs()
    label = f"{PLACE_LABEL}={place()}"
    try:
        listed = engine.client.api.containers(all=True, filters={"label": label})
    except ERRORS as problem:
        raise Unobtainable(
            f"{engine.name} answers at {engine.url}, and cannot list its containers: {_cause(problem)}",
            "look at its log and restart it, or name another engine by DOCKER_HOST",
        ) from problem
    until = time.monotonic() + SWEEP_SECONDS
    for container in listed:
        if time.monotonic() > until:
            break  # the next run goes on
        if (container["Labels"] or {}).get(LABEL) not in live:
            with suppress(*ERRORS):
                engine.client.api.remove_container(container["Id"], force=True, v=True)
