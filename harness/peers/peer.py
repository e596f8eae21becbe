"""A peer: something else that runs a program and stands between it and the kernel.

It is looked for on this machine first; with leave to fetch, the distribution's package of it is unpacked into the cache
and run from there.  Nothing is installed.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path

from worldswitch.harness.environments.cache import cache
from worldswitch.harness.environments.images import deb_packages
from worldswitch.harness.environments.images.deb_packages import Package
from worldswitch.harness.environments.protocol import Say
from worldswitch.harness.errors import Unobtainable

#: Where the distribution keeps what has several versions, the oldest first.
SUITES = ("bookworm", "bookworm-backports", "trixie", "forky", "sid")


@dataclass(frozen=True, slots=True)
class Ready:
    """A peer that can be run."""

    name: str  #: as results call it
    version: str
    command: Callable[[Path, int], Sequence[str]]  #: what runs a program so many rounds
    environment: Mapping[str, str] = field(default_factory=dict)
    programs: frozenset[str] | None = None  #: those that it runs; None means all
    reason: str = ""  #: why it runs no others


@dataclass(frozen=True, slots=True)
class Kit:
    """What peers are obtained with."""

    fetch: bool  #: packages may be fetched
    say: Say
    folder: Path  #: of this race, removed at its end


@dataclass(frozen=True, slots=True)
class Found:
    """A program of somebody else's: where it lies, what it needs to find its libraries, and where it is from."""

    path: Path
    source: str
    environment: Mapping[str, str] = field(default_factory=dict)


def program(name: str) -> Path:
    """One of the programs of `programs/`.  Raises `Unobtainable` where they were not built."""
    path = Path(str(resources.files("worldswitch.harness.peers"))) / "programs" / name
    if not os.access(path, os.X_OK):
        raise Unobtainable(f"{path} was not built", "install worldswitch anew, with a C compiler: pip install -e .")
    return path


def find(kit: Kit, name: str, package: str, *libraries: str, suites: Sequence[str] = ()) -> Found:
    """A program on this machine, or from the newest package that the mirror has.  Raises `Unobtainable`."""
    if path := shutil.which(name):
        return Found(Path(path), "installed")
    if not kit.fetch:
        raise Unobtainable(f"{name} is not installed", f"run again with --fetch-peers, or: apt-get install {package}")
    return fetch(kit, name, package, *libraries, suites=suites or own_suites())


def fetch(kit: Kit, name: str, package: str, *libraries: str, suites: Sequence[str]) -> Found:
    """A program from its package in one of these suites, unpacked with its libraries.  Raises `Unobtainable`."""
    main = deb_packages.fetch(package, suites, kit.say)
    return unpacked(kit, name, main, *(deb_packages.fetch(one, [main.suite, *suites], kit.say) for one in libraries))


def unpacked(kit: Kit, name: str, main: Package, *libraries: Package) -> Found:
    """A program of a package, laid out in the cache with the libraries of others.  Raises `Unobtainable`."""
    root = cache("peers") / f"{main.name}-{main.sha256[:12]}"
    if not root.exists():
        work = kit.folder / main.name
        for part in (main, *libraries):
            deb_packages.unpack(part, work)
        shutil.move(work, root)
    path = next((root / place / name for place in ("usr/bin", "bin") if (root / place / name).exists()), None)
    if path is None:
        raise Unobtainable(f"{main.name} {main.version} has no {name}", "report it")
    folders = [str(root / place / f"{os.uname().machine}-linux-gnu") for place in ("usr/lib", "lib")]
    return Found(path, f"{main.version} of {main.suite}", {"LD_LIBRARY_PATH": ":".join(folders)} if libraries else {})


def own_suites() -> list[str]:
    """The suites to look in for what need not be of a certain version: this machine's own first."""
    codename = next(
        (
            line.partition("=")[2].strip('"')
            for line in Path("/etc/os-release").read_text().splitlines()
            if line.startswith("VERSION_CODENAME=")
        ),
        "",
    )
    return [*filter(None, [codename]), *(suite for suite in SUITES if suite != codename)]
