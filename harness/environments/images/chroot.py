"""A command run inside a tree of files, as its root, in mounts of its own that end with it; needs no container runtime.

An ordinary user does it in a user namespace, where the kernel lets users have those.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from worldswitch.harness.environments import guardian
from worldswitch.harness.errors import Unobtainable

SECONDS = 300.0
PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"  #: as engines set it, if an image does not

#: Worker processes of Python share semaphores in /dev/shm.
SCRIPT = 'mount -t tmpfs tmpfs "$1/dev/shm" && exec chroot "$@"'


def run(tree: Path, command: Sequence[str], *, doing: str) -> str:
    """Return the command's output."""
    as_root = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    mounts = ["unshare", *as_root, "--mount", "--propagation", "private", "--", "sh", "-c", SCRIPT, "sh", str(tree)]
    try:
        return guardian.run([*mounts, "env", "-i", PATH, *command], SECONDS)
    except subprocess.SubprocessError as problem:
        raise Unobtainable(
            f"{doing} failed: {guardian.error_lines(problem)}",
            "run as root" if as_root else "see whether this user may mount and chroot: `unshare --mount true`",
        ) from problem
