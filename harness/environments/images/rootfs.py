"""A root file system with Python, made from this machine's package mirror when no registry can be reached.

Packages are unpacked and their scripts are not run: a container without users and services needs no more.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
from pathlib import Path

from worldswitch.harness.environments import guardian
from worldswitch.harness.environments.cache import cache
from worldswitch.harness.environments.images.apt import Source, network_settings
from worldswitch.harness.environments.run_resources import RunResources
from worldswitch.harness.errors import Unobtainable

PACKAGES = ("python3", "libc-bin", "coreutils", "dash", "base-files", "tini")  #: tini is the init that engines have
UNWANTED = ("doc", "man", "info", "locale")  #: below /usr/share
MERGED = ("bin", "lib", "lib64", "sbin")  #: links into /usr
SECONDS = 300.0
#: `dpkg-deb --extract` would replace those links by folders.
UNPACK = 'set -o pipefail; dpkg-deb --fsys-tarfile "$1" | tar -C "$2" --keep-directory-symlink -xf -'


def key(where: list[Source]) -> str:
    """Return a digest of the inputs: packages, sources, architecture."""
    parts = [*PACKAGES, *UNWANTED, *(source.line for source in where), platform.machine()]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def obtain(where: list[Source], run: RunResources) -> Path:
    """Return the root file system as a tar file, made once.  Raises `Unobtainable`."""
    kept = cache("base") / f"{key(where)}.tar"
    if kept.exists():
        return kept
    tar = run.scratch() / "base.tar"
    try:
        if command := _command(where, tar):
            guardian.run(command, SECONDS)
        else:
            _unpack(where[0], run, tar)
    except subprocess.SubprocessError as problem:
        raise Unobtainable(
            f"making a root file system from {where[0].uri} failed: {guardian.error_lines(problem)}",
            "check that apt-get update works here, then run again",
        ) from problem
    return tar.rename(kept)


def _command(where: list[Source], tar: Path) -> list[str]:
    """Return the command of an installed tool that makes root file systems; empty if there is none."""
    if shutil.which("mmdebstrap"):
        return _mmdebstrap(where, tar)
    if shutil.which("debootstrap"):
        return _debootstrap(where[0], tar)
    return []


def _mmdebstrap(where: list[Source], tar: Path) -> list[str]:
    # Nothing runs inside, so an ordinary user needs no fake root.
    mode = [] if os.geteuid() == 0 else ["--mode=chrootless"]
    return [
        *("mmdebstrap", "--quiet", *mode, "--variant=extract", f"--include={','.join(PACKAGES)}"),
        *(f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in UNWANTED),
        *("--aptopt=APT::Install-Recommends false", "--aptopt=Acquire::Languages none"),
        *(f"--aptopt={line}" for line in network_settings()),
        *("", str(tar), *(source.line for source in where)),
    ]


def _debootstrap(source: Source, tar: Path) -> list[str]:
    """Return the slower command, in its own mount namespace: debootstrap mounts /proc and may be killed."""
    tree = tar.with_suffix("")
    include = ",".join(PACKAGES)
    keyring = [f"--keyring={source.signed_by}"] if source.signed_by else []
    make = ["debootstrap", "--variant=minbase", f"--include={include}", *keyring, source.suite, str(tree), source.uri]
    pack = ["tar", "-C", str(tree), "--exclude=./var/cache/apt", "--exclude=./var/lib/apt", "-cf", str(tar), "."]
    script = f'n={len(make)}; "${{@:1:n}}" && exec "${{@:n+1}}"'
    return ["unshare", "--mount", "--propagation", "private", "--", "bash", "-c", script, "bash", *make, *pack]


def _unpack(source: Source, run: RunResources, tar: Path) -> None:
    """Make it without such a tool: fetch the same packages by a private apt and unpack each."""
    from worldswitch.harness.environments.images.apt_mirror import MirrorSuite  # it asks this module where packages are

    archives, tree = run.scratch(), run.scratch()
    try:
        MirrorSuite(source.suite, lambda _: None).gather(PACKAGES, archives)
    except Unobtainable as problem:
        raise Unobtainable(
            f"no registry has the base image, and a root file system cannot be made: {problem.reason}",
            f"{problem.remedy}; or: apt-get install mmdebstrap",
        ) from problem
    for name in MERGED:
        (tree / "usr" / name).mkdir(parents=True)
        (tree / name).symlink_to(f"usr/{name}")
    for file in sorted(archives.glob("*.deb")):
        guardian.run(["bash", "-c", UNPACK, "bash", str(file), str(tree)], SECONDS)
    for name in UNWANTED:
        shutil.rmtree(tree / "usr/share" / name, ignore_errors=True)
    own = [] if os.geteuid() == 0 else ["--owner=root:0", "--group=root:0"]
    guardian.run(["tar", "-C", str(tree), *own, "-cf", str(tar), "."], SECONDS)
