"""Plan the environments of booted kernels: for each the whole guest, and a container in it per profile."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

from worldswitch.harness.environments.kernels.fetch import KernelFetcher
from worldswitch.harness.environments.kernels.image import environment_of
from worldswitch.harness.environments.prepared import Plan
from worldswitch.harness.environments.profiles.profile import Profile
from worldswitch.harness.environments.protocol import EngineChoice, Missing, Say
from worldswitch.harness.environments.run_resources import RunResources, sweep
from worldswitch.harness.environments.vm import environment
from worldswitch.harness.environments.vm.environment import GuestEnvironment
from worldswitch.harness.environments.vm.machine import MachineParts
from worldswitch.harness.environments.vm.reused_machine import ReusedMachine
from worldswitch.harness.errors import Unobtainable


def add(plan: Plan, names: Sequence[str], engine: EngineChoice, chosen: Sequence[Profile], say: Say) -> None:
    """Add the environments of these kernels to `plan`; those of an unavailable kernel are `Missing`.

    With `docker` or `oci` as `engine` only containers are added.  One kernel is fetched first, to choose QEMU's
    accelerator; the others are fetched in the background.
    """
    profiles: list[Profile | None] = [*([None] if engine in ("auto", "host") else []), *chosen]
    sweep()
    run = RunResources.create()
    plan.stack.callback(run.close)
    kernels = KernelFetcher(names, say)
    plan.stack.callback(kernels.close)
    made, lacking = _make(kernels, run, say)
    shares = machines_per_kernel(len(kernels.names), len(profiles), environment.processors())
    for name, each in zip(kernels.names, shares, strict=True):
        if made and name not in lacking:
            lanes = [ReusedMachine(made, name, kernels, say) for _ in range(each)]
            for lane in lanes:
                plan.stack.callback(lane.close)
            dealt = zip(profiles, itertools.cycle(lanes), strict=False)
            plan.environments += [GuestEnvironment(lane, made.tree, profile, sum(shares)) for profile, lane in dealt]
        else:
            plan.environments += _missing(name, profiles, lacking[name])


def machines_per_kernel(kernels: int, cells: int, processors: int) -> list[int]:
    """Return the number of concurrent machines of each kernel, given `cells` cells per kernel.

    Two machines with one CPU each take half the time of one with two: emulated CPUs wait for each other, and each
    worker of a suite imports and collects for itself.  As many kernels as CPUs run at a time; the kernels of an
    incomplete last round get several machines each.
    """
    last = kernels % processors
    return [1] * (kernels - last) + [max(1, min(cells, processors // max(1, last)))] * last


def _make(kernels: KernelFetcher, run: RunResources, say: Say) -> tuple[MachineParts | None, dict[str, Unobtainable]]:
    """Return the parts of all machines, made with the first available kernel, and the errors of the others."""
    lacking = {}
    for name in kernels.names:
        try:
            kernel = kernels.get(name)
        except Unobtainable as problem:
            lacking[name] = problem
            continue
        try:
            return environment.machine_parts(kernel, run, say), lacking
        except Unobtainable as problem:
            return None, dict.fromkeys(kernels.names, problem)
    return None, lacking


def _missing(name: str, profiles: Iterable[Profile | None], problem: Unobtainable) -> list[Missing]:
    environment = environment_of(name)
    return [
        Missing(f"{environment}:{one.name}" if one else environment, problem.reason, problem.remedy, one)
        for one in profiles
    ]
