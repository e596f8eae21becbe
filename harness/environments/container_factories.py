"""Who makes the containers of a run, an engine or a plain runtime; each is got ready when a profile first asks for it.

What they need beside the host's cells, the docker SDK for one, is imported late.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from worldswitch.harness.environments.profiles.profile import Profile
from worldswitch.harness.environments.run_resources import RunResources
from worldswitch.harness.errors import Unobtainable

if TYPE_CHECKING:
    from worldswitch.harness.environments.protocol import Containers, Environment, Say

#: Makes a container under a profile; raises `Unobtainable` if it cannot be had.
Maker: TypeAlias = "Callable[[Profile], Environment]"


class ProfileUnavailable(Unobtainable):
    """A profile that cannot be had here, where others can."""


def docker(held: list[RunResources], install: bool, say: Say) -> Maker:
    """An engine's containers; of two engines, since one that maps users makes the others' control groups writable."""

    def start(map_users: bool) -> Maker:
        with _libraries():
            from worldswitch.harness.environments.docker import container, engine, image
        run = _hold(held)
        found = engine.obtain(run, install=install, map_users=map_users, say=say)
        engine.sweep(found)
        built = image.obtain(found, run, say)

        def make(profile: Profile) -> Environment:
            _refuse(container.unavailable(profile, found))
            return container.Docker(found, built, profile, run.id)

        return make

    started = {map_users: _Once(partial(start, map_users)) for map_users in (False, True)}
    return lambda profile: started[profile.namespaces.user == "mapped"].get()(profile)


def oci(held: list[RunResources], install: bool, say: Say) -> Maker:
    """A plain runtime's containers."""

    def start() -> Maker:
        with _libraries():
            from worldswitch.harness.environments.images import tree
            from worldswitch.harness.environments.oci import container, runtime
        run = _hold(held)
        found = runtime.obtain(run, install=install, say=say)
        means = container.OciSetup(found, tree.obtain(run, say), run)

        def make(profile: Profile) -> Environment:
            _refuse(container.unavailable(profile))
            return container.Oci(means, profile)

        return make

    started = _Once(start)
    return lambda profile: started.get()(profile)


BY_KIND: dict[Containers, Callable[[list[RunResources], bool, Say], Maker]] = {"docker": docker, "oci": oci}


class _Once:
    """What is tried once: the second who asks gets the same, or the same reason."""

    def __init__(self, start: Callable[[], Maker]) -> None:
        self._start = start
        self._found: Maker | Unobtainable | None = None

    def get(self) -> Maker:
        if self._found is None:
            try:
                self._found = self._start()
            except Unobtainable as problem:
                self._found = problem
        if isinstance(self._found, Unobtainable):
            raise self._found
        return self._found


def _hold(held: list[RunResources]) -> RunResources:
    run = RunResources.create()
    held.append(run)
    return run


def _refuse(lack: Unobtainable | None) -> None:
    if lack:
        raise ProfileUnavailable(lack.reason, lack.remedy)


@contextmanager
def _libraries() -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as problem:
        raise Unobtainable(
            f"containers need the Python package {problem.name}, which is not installed",
            'python3 -m pip install "worldswitch[harness]"',
        ) from problem
