"""A root file system with Python, made from this machine's package mirror when no registry can be reached.

Packages are unpacked and their scripts are not run: a container without users and services needs no more.
"""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
from pathlib import Path

from worldswitch.harness.environments import guardian
from worldswitch.harness.environments.cache import cache
from worldswitch.harness.environments.images import deb_packages
from worldswitch.harness.environments.images.apt import Source
from worldswitch.harness.environments.images.apt_mirror import MirrorSuite
from worldswitch.harness.environments.protocol import Say
from worldswitch.harness.environments.run_resources import RunResources
from worldswitch.harness.errors import Unobtainable

PACKAGES = ("python3", "libc-bin", "coreutils", "dash", "base-files", "tini")  #: tini is the init that engines have
MERGED = ("bin", "lib", "lib64", "sbin")  #: links into /usr
SECONDS = 300.0


def key(where: list[Source]) -> str:
    """Return a digest of the inputs: packages, sources, architecture."""
    parts = [*PACKAGES, *deb_packages.UNWANTED, *(source.line for source in where), platform.machine()]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def obtain(where: list[Source], run: RunResources, say: Say) -> Path:
    """Return the root file system as a tar file, made once.  Raises `Unobtainable`."""
    kept = cache("base") / f"{key(where)}.tar"
    if kept.exists():
        return kept
    say(f"making a root file system from {where[0].uri} {where[0].suite}")
    tree = run.scratch()
    for name in MERGED:
        (tree / "usr" / name).mkdir(parents=True)
        (tree / "usr" / name).chmod(0o755)
        (tree / name).symlink_to(f"usr/{name}")
    deb_packages.assemble(MirrorSuite(where[0].suite, say, where), PACKAGES, run.scratch(), tree)
    tar = run.scratch() / "base.tar"
    own = [] if os.geteuid() == 0 else ["--owner=root:0", "--group=root:0"]
    try:
        guardian.run(["tar", "-C", str(tree), *own, "-cf", str(tar), "."], SECONDS)
    except subprocess.SubprocessError as problem:
        raise Unobtainable(
            f"packing a root file system into {tar} failed: {guardian.error_lines(problem)}",
            f"is there room in {tar.parent}?",
        ) from problem
    return tar.rename(kept)
