"""A peer: another tracer or sandbox that runs a program.

A peer installed on this machine is used as it is.  With `--fetch-peers`, a missing one is unpacked from the
distribution's package into the cache and run from there.  Nothing is installed.
"""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path

from worldswitch.harness.environments import installation
from worldswitch.harness.environments.cache import cache
from worldswitch.harness.environments.images import deb_packages
from worldswitch.harness.environments.images.deb_packages import Package
from worldswitch.harness.environments.protocol import Say
from worldswitch.harness.errors import Unobtainable

#: The distribution's suites, the oldest first.
SUITES = ("bookworm", "bookworm-backports", "trixie", "forky", "sid")


@dataclass(frozen=True, slots=True)
class Peer:
    """A peer that can be run."""

    name: str  #: its name in results
    version: str  #: empty if unknown
    command: Callable[[Path, int], Sequence[str]]  #: (program, rounds) → command line
    environment: Mapping[str, str] = field(default_factory=dict)  #: variables added to this process's
    programs: frozenset[str] | None = None  #: names of the programs it can run; None means all
    reason: str = ""  #: why it cannot run the others


@dataclass(frozen=True, slots=True)
class Kit:
    """How peers may be obtained."""

    fetch: bool  #: True if packages may be fetched
    say: Say
    folder: Path  #: a temporary folder, removed after the race


@dataclass(frozen=True, slots=True)
class FoundProgram:
    """A peer's executable."""

    path: Path
    source: str  #: "installed", or the package's version and suite
    environment: Mapping[str, str] = field(default_factory=dict)  #: variables it needs to find its libraries


def program(name: str) -> Path:
    """Return the path of a program of `programs/`.  Raises `Unobtainable` if it was not built."""
    path = Path(str(resources.files("worldswitch.harness.peers"))) / "programs" / name
    if not os.access(path, os.X_OK):
        raise Unobtainable(f"{path} was not built", f"install a C compiler, then: {installation.reinstall()}")
    return path


def find(kit: Kit, name: str, package: str, *libraries: str) -> FoundProgram:
    """Return a program of this machine, else of the mirror's newest package.  Raises `Unobtainable`."""
    if path := shutil.which(name):
        return FoundProgram(Path(path), "installed")
    if not kit.fetch:
        raise Unobtainable(f"{name} is not installed", f"run again with --fetch-peers, or: apt-get install {package}")
    suites = own_suites()
    main = deb_packages.fetch(package, suites, kit.say)
    parts = [deb_packages.fetch(library, [main.suite, *suites], kit.say) for library in libraries]
    return unpacked(kit, name, main, *parts)


def unpacked(kit: Kit, name: str, main: Package, *libraries: Package) -> FoundProgram:
    """Unpack a package and its libraries into the cache; returns the program.  Raises `Unobtainable`."""
    root = cache("peers") / f"{main.name}-{main.sha256[:12]}"
    if not root.exists():
        work = kit.folder / main.name
        for part in (main, *libraries):
            deb_packages.unpack(part.path, work)
        shutil.move(work, root)
    path = next((root / folder / name for folder in ("usr/bin", "bin") if (root / folder / name).exists()), None)
    if path is None:
        raise Unobtainable(f"the package {main.name} {main.version} contains no program {name}", "report it")
    folders = [str(root / folder / f"{os.uname().machine}-linux-gnu") for folder in ("usr/lib", "lib")]
    return FoundProgram(
        path, f"{main.version} of {main.suite}", {"LD_LIBRARY_PATH": ":".join(folders)} if libraries else {}
    )


def own_suites() -> list[str]:
    """All suites, this machine's own first."""
    own = platform.freedesktop_os_release().get("VERSION_CODENAME")
    return list(dict.fromkeys((own, *SUITES) if own else SUITES))
