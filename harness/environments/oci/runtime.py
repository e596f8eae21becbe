"""Find a plain OCI runtime that works on this machine: an installed one must first run `true` in a container.

Without root a runtime needs user namespaces.  Its containers then have no control groups, so the profile's limits on
processes and memory are not enforced.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path, PurePath

from worldswitch.harness.environments import distribution, guardian
from worldswitch.harness.environments.apt_install import install_engine
from worldswitch.harness.environments.guardian import GuardedProcess
from worldswitch.harness.environments.oci import bundle, user_mapping
from worldswitch.harness.environments.oci.bundle import Runtime
from worldswitch.harness.environments.oci.seccomp import SeccompTarget
from worldswitch.harness.environments.oci.spec import ContainerContext, Json, specification
from worldswitch.harness.environments.profiles.profile import Profile
from worldswitch.harness.environments.protocol import Say
from worldswitch.harness.environments.run_resources import RunResources
from worldswitch.harness.errors import Unobtainable

NAMES = ("runc", "crun")  #: in order of preference: engines use runc
PROBE_SECONDS = 20.0

#: The profile of the container that runs `true`.
PROBE = Profile("probe", "The settings that all cells have in common.", "default", "default", init=False)
#: Folders with programs and libraries; on most systems the others are links into usr.
SYSTEM = ("usr", "bin", "lib", "lib32", "lib64", "libx32", "sbin")


def obtain(run: RunResources, *, install: bool, say: Say) -> Runtime:
    """Find a runtime that works, and start the run's guardian before any container.

    Raises `Unobtainable` with the error of each runtime tried.
    """
    run.guardian = GuardedProcess(run=run.id, keep=[run.lock])
    if install and not any(map(shutil.which, NAMES)):
        say("installing runc")
        install_engine("runc")
    failures: list[str] = []
    for runtime in installed():
        if not (refusal := probe(runtime, run)):
            return runtime
        failures.append(f"{runtime.name} could not run `true`: {refusal}")
    if failures:
        raise Unobtainable("; ".join(failures), _remedy())
    raise Unobtainable(
        "no OCI runtime is installed (runc, crun)",
        f"run again as root with --install-engine, or: {distribution.install('runc')}",
    )


def _remedy() -> str:
    if bundle.is_root():
        return "install the other one of runc and crun, or use an engine: --engine docker"
    return "run as root, install the other one of runc and crun, or allow user namespaces (test: `unshare --user true`)"


def installed() -> Iterator[Runtime]:
    """Yield the runtimes in PATH."""
    for name in NAMES:
        if path := shutil.which(name):
            yield Runtime(path, _version(path), rootless=not bundle.is_root())


def _version(path: str) -> str:
    """Return a runtime's name and version: ``runc 1.1.5``."""
    try:
        lines = guardian.run([path, "--version"], PROBE_SECONDS).splitlines()
    except subprocess.SubprocessError:
        lines = []
    return lines[0].replace(" version ", " ") if lines else Path(path).name


def probe(runtime: Runtime, run: RunResources) -> str:
    """Run `true` in a container of this system's programs; returns the error, empty on success."""
    name = f"probe-{Path(runtime.path).name}"
    try:
        command, _ = bundle.prepare(runtime, run, system(run), name, partial(_probe_specification, name))
        guardian.run(command, PROBE_SECONDS)
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
    """Return a new root folder with mount points and this system's links only."""
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
