"""The command that makes and runs one container, from a bundle in the run's folder.

As root it runs in mounts of its own.  There the image's files are seen below the run's folder in /run, which users of
a user namespace can reach when the cache, most often below somebody's home, is closed to them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from worldswitch.harness.environments.oci.spec import Json
from worldswitch.harness.environments.run_resources import RunResources

SHOW = 'mount --bind "$1" "$2" && shift 2 && exec "$@"'
Specify: TypeAlias = Callable[[Path, str], Json]  #: makes a specification for the image's folder and a control group


@dataclass(frozen=True, slots=True)
class Runtime:
    """A runtime that can be started."""

    path: str
    name: str  #: with its version, for the results
    rootless: bool  #: whether it runs without root: in a user namespace, and without control groups


@dataclass(frozen=True, slots=True)
class Launch:
    """How a container is started, and where its first process's id will be written."""

    command: list[str]
    pid_file: Path


def prepare(runtime: Runtime, run: RunResources, image: Path, name: str, specify: Specify) -> Launch:
    """Write a container's bundle."""
    bundle = run.scratch()
    pid_file = bundle / "pid"
    start = [runtime.path, "--root", str(run.folder / "runtime"), "run"]
    start += ["--bundle", str(bundle), "--pid-file", str(pid_file), name]
    if runtime.rootless:
        specification = specify(image, "")
        command = start
    else:
        shown = _place(run)
        specification = specify(shown, f"/worldswitch-{run.id}/{name}")
        own = ["unshare", "--mount", "--propagation", "private", "--", "sh", "-c", SHOW, "sh"]
        command = [*own, str(image), str(shown), *start]
    (bundle / "config.json").write_text(json.dumps(specification))
    return Launch(command, pid_file)


def _place(run: RunResources) -> Path:
    """Where the image is seen; nobody may list what lies above it."""
    place = run.sockets / "image"
    place.mkdir(parents=True, exist_ok=True)
    for folder in (run.sockets.parent, run.sockets):
        folder.chmod(0o711)
    return place


def is_root() -> bool:
    """Tell whether we may make containers without a user namespace."""
    return os.geteuid() == 0
