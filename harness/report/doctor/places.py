"""Where else scenarios can run: containers of an engine or of a plain runtime, kernels in virtual machines.

Nothing is started or installed, except that an OCI runtime must run `true` in a container.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from worldswitch.harness.environments.cache import cache
from worldswitch.harness.environments.docker import container as docker_container
from worldswitch.harness.environments.docker import engine
from worldswitch.harness.environments.docker.engine import Engine
from worldswitch.harness.environments.images import apt_mirror
from worldswitch.harness.environments.kernels import known
from worldswitch.harness.environments.oci import container as oci_container
from worldswitch.harness.environments.oci import runtime
from worldswitch.harness.environments.profiles import kernel_settings
from worldswitch.harness.environments.profiles import profile as profiles
from worldswitch.harness.environments.profiles.profile import Profile
from worldswitch.harness.environments.protocol import Say
from worldswitch.harness.environments.run_resources import RunResources
from worldswitch.harness.errors import CouldNotRun, Unobtainable
from worldswitch.harness.report.doctor.findings import NO, UNTRIED, YES, Place

Refusal = Callable[[Profile], Unobtainable | None]


def look(say: Say) -> Iterator[Place]:
    """Yield each place; `say` is told what is being tried."""
    for doing, name, find in (
        ("asking for a container engine", "containers", _containers),
        ("running a container without an engine", "oci", _oci),
        ("looking for kernels", "kernels", _kernels),
    ):
        say(doing)
        try:
            yield find()
        except CouldNotRun as problem:
            yield Place(name, NO, str(problem))
        except Unobtainable as problem:
            yield Place(name, NO, problem.reason, problem.remedy)


def _containers() -> Place:
    tried: list[str] = []
    for url in engine.addresses():
        if found := engine.answering(url, tried):
            found.client.close()
            said = f"{found.name} answers at {url}; no container was tried"
            return _with_profiles("containers", UNTRIED, said, lambda one: _refusal(one, found))
    engine.check_startable(tried)
    said = f"{'; '.join(tried) or 'no engine runs'}; dockerd is installed, so a run starts a private engine"
    return _with_profiles("containers", UNTRIED, said, kernel_settings.unavailable)


def _refusal(profile: Profile, found: Engine) -> Unobtainable | None:
    return docker_container.unavailable(profile, found)


def _oci() -> Place:
    run = RunResources.create()
    try:
        found = runtime.obtain(run, install=False, say=lambda _: None)
    finally:
        run.close()
    return _with_profiles("oci", YES, f"{found.name} ran a container", oci_container.unavailable, " --engine oci")


def _with_profiles(name: str, state: str, said: str, refusal: Refusal, options: str = "") -> Place:
    """Return a place of containers with the profiles that they can and cannot have."""
    loaded = profiles.select([profiles.ALL])
    refused = {one.name: lack.reason for one in loaded if (lack := refusal(one))}
    can = tuple(one.name for one in loaded if one.name not in refused)
    command = f"worldswitch run{options} --profile docker-default"
    return Place(name, state, said, command=command, profiles=can, other_profiles=refused)


def _kernels() -> Place:
    count = len(known.load())
    address, _ = apt_mirror.mirror()
    fetched = len(list(cache("kernels").glob("*.vmlinuz")))
    said = f"{count} kernels for QEMU from {address}, {fetched} fetched; none was booted"
    return Place("kernels", UNTRIED, said, command="worldswitch matrix --quick")
