"""A container's bundle in the run's folder, and the command that runs it.

As root the command gets its own mount namespace, which shows the image below the run's folder in /run: the users of a
user namespace may not be allowed to enter the cache, usually below a home.
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
from worldswitch.harness.linux import bundles

SHOW = 'mount --bind "$1" "$2" && shift 2 && exec "$@"'
Specify: TypeAlias = Callable[
    [Path, str], Json
]  #: returns the specification, given the image's folder and a control group


@dataclass(frozen=True, slots=True)
class Runtime:
    """An installed OCI runtime."""

    path: str
    name: str  #: with version, for the results
    rootless: bool  #: True without root: containers get a user namespace and no control groups


def prepare(runtime: Runtime, run: RunResources, image: Path, name: str, specify: Specify) -> tuple[list[str], Path]:
    """Write a container's bundle; returns its command, and the file that will hold the pid of its first process."""
    bundle = run.scratch()
    pid_file = bundle / "pid"
    start = [runtime.path, "--root", str(run.folder / "runtime"), "run"]
    start += ["--bundle", str(bundle), "--pid-file", str(pid_file), name]
    if runtime.rootless:
        specification = specify(image, "")
        command = start
    else:
        shown = run.passable("image")
        specification = specify(shown, f"/worldswitch-{run.id}/{name}")
        mounts = ["unshare", "--mount", "--propagation", "private", "--", "sh", "-c", SHOW, "sh"]
        command = [*mounts, str(image), str(shown), *start]
    bundles.complete(specification, bundle, image)
    (bundle / "config.json").write_text(json.dumps(specification))
    return command, pid_file


def is_root() -> bool:
    """True if containers need no user namespace."""
    return os.geteuid() == 0
