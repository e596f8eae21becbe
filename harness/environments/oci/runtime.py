"""A plain OCI runtime that works on this machine, found by having it run `true`: that it is installed says little.

Without root one can work too, where users may have user namespaces; containers then have no control groups, so that
nothing holds them to their profile's limits on processes and memory.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from worldswitch.harness.environments import guardian
from worldswitch.harness.environments.apt_install import install_engine
from worldswitch.harness.environments.guardian import GuardedProcess
from worldswitch.harness.environments.oci import bundle, user_mapping
from worldswitch.harness.environments.oci.bundle import Runtime
from worldswitch.harness.environments.oci.seccomp import SeccompTarget
from worldswitch.harness.environments.oci.spec import ContainerContext, Json, specification
from worldswitch.harness.environments.profiles.profile import Profile
from worldswitch.harness.environments.run_resources import RunResources
from worldswitch.harness.errors import Unobtainable

if TYPE_CHECKING:
    from worldswitch.harness.environments.protocol import Say

NAMES = ("runc", "crun")  #: the one that engines use first
PACKAGES = ("runc", "mmdebstrap")  #: what --install-engine brings; the second makes root file systems
PROBE_SECONDS = 20.0

#: What every container can be, as far as the profile goes.
PROBE = Profile("probe", "Everything that cells have in common.", "default", "default", init=False)
#: Folders that a program needs to run; on most systems all but the first are links into it.
SYSTEM = ("usr", "bin", "lib", "lib32", "lib64", "libx32", "sbin")


def obtain(run: RunResources, *, install: bool, say: Say) -> Runtime:
    """Find a runtime that works, and have a guardian for what the run makes; raises `Unobtainable` with what each said.

    The guardian is there before the first container is.
    """
    run.guardian = GuardedProcess(run=run.id, keep=[run.lock])
    if install and not any(map(shutil.which, NAMES)):
        say(f"installing {' and '.join(PACKAGES)}")
        install_engine(PACKAGES)
    said: list[str] = []
    for runtime in installed():
        if not (refusal := probe(runtime, run)):
            return runtime
        said.append(f"{runtime.name} could not run `true`: {refusal}")
    if said:
        raise Unobtainable("; ".join(said), _remedy())
    raise Unobtainable(
        "no OCI runtime is installed (runc, crun)",
        "run again as root with --install-engine, or: apt-get install runc mmdebstrap",
    )


def _remedy() -> str:
    if bundle.is_root():
        return "install the other of runc and crun, or use an engine: --engine docker"
    return "run as root, or install the other of runc and crun, or have user namespaces allowed: `unshare --user true`"


def installed() -> Iterator[Runtime]:
    """Yield the runtimes in the path."""
    for name in NAMES:
        if path := shutil.which(name):
            yield Runtime(path, _version(path), rootless=not bundle.is_root())


def _version(path: str) -> str:
    """Return the first line of what it says of itself: ``runc version 1.1.5``."""
    try:
        lines = guardian.run([path, "--version"], PROBE_SECONDS).splitlines()
    except subprocess.SubprocessError:
        lines = []
    return lines[0].replace(" version ", " ") if lines else Path(path).name


def probe(runtime: Runtime, run: RunResources) -> str:
    """Have it run `true` in a container of this system's own programs; what it said, if it could not."""
    name = f"probe-{Path(runtime.path).name}"
    try:
        ready = bundle.prepare(runtime, run, system(run), name, partial(_probe_specification, name))
        guardian.run(ready.command, PROBE_SECONDS)
    except subprocess.TimeoutExpired:
        return f"it did not end within {PROBE_SECONDS:g} s"
    except subprocess.SubprocessError as problem:
        return guardian.error_lines(problem)
    except Unobtainable as problem:
        return problem.reason
    return ""


def _probe_specification(name: str, image: PurePath, group: str) -> Json:
    around = ContainerContext(
        name,
        image,
        environment=["PATH=/usr/sbin:/usr/bin:/sbin:/bin"],
        folder="/",
        machine=SeccompTarget.here(),
        cgroup=group,
        **user_mapping.mapped(PROBE),
    )
    made = specification(PROBE, ["true"], around)
    made["mounts"] += [
        {"destination": f"/{name}", "type": "bind", "source": f"/{name}", "options": ["rbind", "ro"]}
        for name in SYSTEM
        if Path("/", name).is_dir() and not Path("/", name).is_symlink()
    ]
    return made


def system(run: RunResources) -> Path:
    """Make a root folder that has nothing but what can be mounted on, and this system's own links."""
    root = run.scratch()
    root.chmod(0o755)
    for name in ("dev", "etc", "proc", "sys", "tmp"):
        (root / name).mkdir()
    for name in SYSTEM:
        here = Path("/", name)
        if here.is_symlink():
            (root / name).symlink_to(here.readlink())
        elif here.is_dir():
            (root / name).mkdir()
    return root
