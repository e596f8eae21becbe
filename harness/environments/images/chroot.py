"""Run a command in a tree of files as its root folder, in its own mount namespace, without a container runtime.

An ordinary user needs a user namespace for it.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from worldswitch.harness.environments import guardian
from worldswitch.harness.errors import Unobtainable

SECONDS = 300.0
PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"  #: the engines' default

#: Python's worker processes share semaphores in /dev/shm.
SCRIPT = 'mount -t tmpfs tmpfs "$1/dev/shm" && exec chroot "$@"'


def run(tree: Path, command: Sequence[str], *, doing: str) -> str:
    """Return the output of the command; `doing` describes it in errors.  Raises `Unobtainable`."""
    as_root = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    mounts = ["unshare", *as_root, "--mount", "--propagation", "private", "--", "sh", "-c", SCRIPT, "sh", str(tree)]
    try:
        return guardian.run([*mounts, "env", "-i", PATH, *command], SECONDS)
    except subprocess.SubprocessError as problem:
        raise Unobtainable(
            f"{doing} failed: {guardian.error_lines(problem)}",
            "run as root" if as_root else "check that this user may mount: `unshare --mount true`",
        ) from problem
