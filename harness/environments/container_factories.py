"""Factories of a run's containers: an engine or a plain runtime, set up when the first profile needs it.

Libraries that only containers need, such as the docker SDK, are imported late: loading them takes time.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from functools import cache
from typing import TypeAlias

from worldswitch.harness.environments.profiles.profile import Profile
from worldswitch.harness.environments.protocol import Containers, Environment, Say
from worldswitch.harness.environments.run_resources import RunResources
from worldswitch.harness.errors import Unobtainable

#: Returns a container under a profile; raises `Unobtainable`.
Maker: TypeAlias = "Callable[[Profile], Environment]"


class ProfileUnavailable(Unobtainable):
    """A profile is unavailable on this machine; others may be available."""


def docker(stack: ExitStack, install: bool, say: Say) -> Maker:
    """Return a factory of an engine's containers.

    Profiles with mapped users get an engine of their own: it makes the control groups of all its containers writable.
    """

    @_once
    def start(map_users: bool) -> Maker:
        from worldswitch.harness.environments.docker import container, engine, image

        run = _new_run(stack)
        try:
            found = engine.obtain(run, install=install, map_users=map_users, say=say)
        except Unobtainable as problem:
            raise Unobtainable(problem.reason, problem.remedy + _oci_instead(), problem.log) from problem
        engine.sweep(found)
        built = image.obtain(found, run, say)

        def make(profile: Profile) -> Environment:
            _refuse(container.unavailable(profile, found))
            return container.Docker(found, built, profile, run)

        return make

    return lambda profile: start(profile.namespaces.user == "mapped")(profile)


def _oci_instead() -> str:
    """Return the end of a remedy: that a plain runtime works here, if it does."""
    from worldswitch.harness.environments.oci import runtime

    run = RunResources.create()
    try:
        found = runtime.obtain(run, install=False, say=lambda _: None)
    except Unobtainable:
        return ""
    finally:
        run.close()
    return f"; or run with --engine oci: {found.name} makes containers here without an engine"


def oci(stack: ExitStack, install: bool, say: Say) -> Maker:
    """Return a factory of a plain runtime's containers."""

    @_once
    def start() -> Maker:
        from worldswitch.harness.environments.images import tree
        from worldswitch.harness.environments.oci import container, runtime

        run = _new_run(stack)
        found = runtime.obtain(run, install=install, say=say)
        setup = container.OciSetup(found, tree.obtain(run, say), run)

        def make(profile: Profile) -> Environment:
            _refuse(container.unavailable(profile))
            return container.Oci(setup, profile)

        return make

    return lambda profile: start()(profile)


BY_KIND: dict[Containers, Callable[[ExitStack, bool, Say], Maker]] = {"docker": docker, "oci": oci}


def _once(start: Callable[..., Maker]) -> Callable[..., Maker]:
    """Return `start` with a memory of its factories; one that cannot be made raises the same error for each profile."""

    @cache
    def started(*arguments: object) -> Maker:
        try:
            return start(*arguments)
        except Unobtainable as problem:
            lack = problem

        def refuse(_: Profile) -> Environment:
            raise lack

        return refuse

    return started


def _new_run(stack: ExitStack) -> RunResources:
    run = RunResources.create()
    stack.callback(run.close)
    return run


def _refuse(lack: Unobtainable | None) -> None:
    if lack:
        raise ProfileUnavailable(lack.reason, lack.remedy)
