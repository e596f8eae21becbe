"""Factories of a run's containers: an engine or a plain runtime, set up when the first profile needs it.

Libraries that only containers need, such as the docker SDK, are imported late.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TypeAlias

from worldswitch.harness.environments.profiles.profile import Profile
from worldswitch.harness.environments.protocol import Containers, Environment, Say
from worldswitch.harness.environments.run_resources import RunResources
from worldswitch.harness.errors import Unobtainable

#: Returns a container under a profile; raises `Unobtainable`.
Maker: TypeAlias = "Callable[[Profile], Environment]"


class ProfileUnavailable(Unobtainable):
    """A profile is unavailable on this machine; others may be available."""


def docker(runs: list[RunResources], install: bool, say: Say) -> Maker:
    """Return a factory of an engine's containers.

    Profiles with mapped users get an engine of their own: it makes the control groups of all its containers writable.
    """

    def start(map_users: bool) -> Maker:
        with _libraries():
            from worldswitch.harness.environments.docker import container, engine, image
        run = _new_run(runs)
        found = engine.obtain(run, install=install, map_users=map_users, say=say)
        engine.sweep(found)
        built = image.obtain(found, run, say)

        def make(profile: Profile) -> Environment:
            _refuse(container.unavailable(profile, found))
            return container.Docker(found, built, profile, run.id)

        return make

    started = {map_users: _Once(partial(start, map_users)) for map_users in (False, True)}
    return lambda profile: started[profile.namespaces.user == "mapped"].get()(profile)


def oci(runs: list[RunResources], install: bool, say: Say) -> Maker:
    """Return a factory of a plain runtime's containers."""

    def start() -> Maker:
        with _libraries():
            from worldswitch.harness.environments.images import tree
            from worldswitch.harness.environments.oci import container, runtime
        run = _new_run(runs)
        found = runtime.obtain(run, install=install, say=say)
        setup = container.OciSetup(found, tree.obtain(run, say), run)

        def make(profile: Profile) -> Environment:
            _refuse(container.unavailable(profile))
            return container.Oci(setup, profile)

        return make

    started = _Once(start)
    return lambda profile: started.get()(profile)


BY_KIND: dict[Containers, Callable[[list[RunResources], bool, Say], Maker]] = {"docker": docker, "oci": oci}


class _Once:
    """A lazily made factory; later calls return the same factory or raise the same error."""

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


def _new_run(runs: list[RunResources]) -> RunResources:
    run = RunResources.create()
    runs.append(run)
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
