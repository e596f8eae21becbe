"""The container engine: one that runs, or a private one for this run, or the reason why there is none and the way out.

A running engine is anything that speaks Docker's API: its address is ``DOCKER_HOST``, or one of the sockets where
engines listen.  A private one is an installed `dockerd`, started as root with everything its own: data, sockets,
containerd, control groups, mounts.  It touches neither the network's set-up (no bridge, no packet filter; no container
here has a network) nor another engine on the machine, and its guardian takes it down when the run ends.
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
from typing import TYPE_CHECKING, BinaryIO

import docker
import requests
from docker.errors import APIError, DockerException

from worldswitch.harness.environments import run_resources
from worldswitch.harness.environments.apt_install import PACKAGES, install_engine
from worldswitch.harness.environments.guardian import GuardedProcess
from worldswitch.harness.environments.place import LABEL, PLACE_LABEL, place
from worldswitch.harness.environments.run_resources import RunResources, reach
from worldswitch.harness.environments.subordinate_ids import FIRST_MAPPED, MAPPED, NOBODY
from worldswitch.harness.errors import Unobtainable

if TYPE_CHECKING:
    from worldswitch.harness.environments.protocol import Say

PING_SECONDS = 5
CALL_SECONDS = 60
START_SECONDS = 30.0
STOP_SECONDS = 4.0  #: from SIGTERM to SIGKILL; what is left then goes by descent


#: Errors of the SDK and of the HTTP library below it, which it lets through.
ERRORS = (DockerException, requests.RequestException, OSError)


@dataclass(frozen=True, slots=True)
class Engine:
    """An engine that answers."""

    url: str
    client: docker.DockerClient
    name: str  #: with its version, for the results
    private: bool
    cgroup_parent: str | None = None
    maps_users: bool = False  #: whether containers may have user namespaces


def obtain(run: RunResources, *, install: bool, map_users: bool = False, say: Say) -> Engine:
    """Find or start an engine for this run, and have a guardian for what the run makes there.

    One that is started gives its containers user namespaces if `map_users` says so.
    """
    tried: list[str] = []
    for url in addresses():
        if found := answering(url, tried):
            run.record_engine(url)
            run.guardian = GuardedProcess(run=run.id, keep=[run.lock])
            return _closed_with(run, found)
    if install and not shutil.which("dockerd"):
        say(f"installing {' and '.join(PACKAGES)}")
        install_engine()
    check_startable(tried)
    say("starting a private container engine" + (" that maps user ids" if map_users else ""))
    return start(run, map_users=map_users)


def _closed_with(run: RunResources, found: Engine) -> Engine:
    run.closing.callback(found.client.close)
    return found


def addresses() -> list[str]:
    """Where an engine may listen; an address that the user gave is the only one."""
    if given := os.environ.get("DOCKER_HOST"):
        return [given]
    own = os.environ.get("XDG_RUNTIME_DIR", f"/run/user/{os.getuid()}")
    sockets = ("/var/run/docker.sock", f"{own}/docker.sock", "/run/podman/podman.sock", f"{own}/podman/podman.sock")
    return [f"unix://{path}" for path in sockets if Path(path).exists()]


def answering(url: str, tried: list[str]) -> Engine | None:
    """Return the engine at `url`, or add to `tried` why there is none."""
    try:
        return _connect(url, private=False)
    except ERRORS as problem:
        tried.append(f"{url} does not answer ({_cause(problem)})")
        return None


def _connect(url: str, *, private: bool, cgroup_parent: str | None = None) -> Engine:
    reach(url)
    with docker.APIClient(base_url=url, version="auto", timeout=PING_SECONDS) as client:
        version, options = client.version(), client.info().get("SecurityOptions") or ()
    system = version.get("Platform", {}).get("Name") or "Docker"
    maps_users = any(option.startswith("name=userns") for option in options)
    return Engine(url, connection(url), f"{system} {version['Version']}", private, cgroup_parent, maps_users)


def connection(url: str, seconds: int = CALL_SECONDS) -> docker.DockerClient:
    """Return a new connection, for a thread of its own or for requests that take their time."""
    return docker.DockerClient(base_url=url, version="auto", timeout=seconds)


def _cause(problem: BaseException) -> str:
    if isinstance(problem, PermissionError):
        return "permission denied: this user may not use it"
    return str(getattr(problem, "strerror", None) or problem)


def check_startable(tried: list[str]) -> None:
    """Raise with the reason and the way out, if a private engine cannot be started here."""
    context = "; ".join(tried) or "no container engine runs here"
    if os.getuid() != 0:
        raise Unobtainable(
            f"{context}, and starting a private one takes root",
            "start a Docker engine that this user may use, or run as root with --install-engine",
        )
    if not shutil.which("dockerd"):
        raise Unobtainable(
            f"{context}, and dockerd is not installed",
            "run again with --install-engine, or: apt-get install docker.io mmdebstrap",
        )


# --------------------------------------------------------------------------------------------------- private engine


def start(run: RunResources, *, map_users: bool = False) -> Engine:
    """Start the installed dockerd for this run only."""
    make_folders(run)
    url = f"unix://{run.sockets}/docker.sock"
    run.record_engine(url)
    with (run.folder / "engine.log").open("w+b") as log:
        run.guardian = held = GuardedProcess(
            daemon_command(run, url, map_users=map_users),
            grace=STOP_SECONDS,
            run=run.id,
            stdout=log,
            stderr=log,
            keep=[run.lock],
        )
        deadline = time.monotonic() + START_SECONDS
        while held.process.poll() is None and time.monotonic() < deadline:
            with suppress(*ERRORS):
                return _closed_with(run, _connect(url, private=True, cgroup_parent=f"/worldswitch-{run.id}"))
            time.sleep(0.05)
        words = _last_words(log)
    raise Unobtainable(
        f"the private dockerd did not come up within {START_SECONDS:g} s; it said last: {words}",
        "start a Docker engine yourself; see `dockerd --debug` for what stops it here",
    )


def make_folders(run: RunResources) -> None:
    """Make what a private engine lies in.

    Its data are where the cache is, most often below a home that is closed to the users whose ids stand for those of a
    container; so it sees them beside its sockets.
    """
    (run.folder / "data").mkdir()
    (run.sockets / "data").mkdir(parents=True)
    for folder in (run.sockets.parent, run.sockets):
        folder.chmod(0o711)  # nobody may list it; the socket itself is the engine's group's


def daemon_command(run: RunResources, url: str, *, map_users: bool = False) -> list[str]:
    """Return the command of a dockerd that shares nothing.

    Its mounts are in a namespace of its own, so they end with it.  There a tmpfs hides /run/containerd, where it
    would otherwise find the system's containerd and use that.
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
    """What is done before, and said to, a dockerd that can give containers user namespaces; nothing where none can be.

    It looks up whose ids it may use in two files of the machine's; it sees our own there, in its mount namespace.
    """
    try:
        user, group = pwd.getpwuid(NOBODY).pw_name, grp.getgrgid(NOBODY).gr_name
        possible = int(USER_NAMESPACES.read_text()) > 0 and all(file.exists() for file in SUBORDINATES)
    except (KeyError, OSError):
        return [], []
    if not possible:
        return [], []
    ours = run.folder / "subordinates"
    ours.write_text("".join(f"{name}:{FIRST_MAPPED}:{MAPPED}\n" for name in dict.fromkeys((user, group))))
    prepare = [f"mount --bind {shlex.quote(str(ours))} {file}" for file in SUBORDINATES]
    return prepare, [f"--userns-remap={user}:{group}"]


USER_NAMESPACES = Path("/proc/sys/user/max_user_namespaces")
SUBORDINATES = (Path("/etc/subuid"), Path("/etc/subgid"))


def _last_words(log: BinaryIO) -> str:
    """Return the log's last line, through the open file: its guardian has removed its name if the engine has ended."""
    log.seek(0)
    lines = log.read().decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else "nothing"


# ----------------------------------------------------------------------------------------------------- installation


# ------------------------------------------------------------------------------------------------------------ sweep


def sweep(engine: Engine) -> None:
    """Remove containers that earlier runs of this place left in an engine that lived on."""
    live = run_resources.live_runs()
    label = f"{PLACE_LABEL}={place()}"
    for container in engine.client.api.containers(all=True, filters={"label": label}):
        if container["Labels"].get(LABEL) not in live:
            with suppress(APIError):
                engine.client.api.remove_container(container["Id"], force=True, v=True)
