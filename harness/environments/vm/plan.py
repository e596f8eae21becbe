"""The environments of kernels that are booted: for each kernel its whole guest, and a container in it per profile."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from worldswitch.harness.environments.kernels.fetch import KernelFetcher
from worldswitch.harness.environments.kernels.image import environment_of
from worldswitch.harness.environments.prepared import Plan
from worldswitch.harness.environments.protocol import EngineChoice, Missing, Say
from worldswitch.harness.environments.run_resources import RunResources, sweep
from worldswitch.harness.environments.vm import environment
from worldswitch.harness.environments.vm.environment import GuestEnvironment
from worldswitch.harness.environments.vm.machine import MachineParts
from worldswitch.harness.environments.vm.reused_machine import ReusedMachine
from worldswitch.harness.errors import Unobtainable

if TYPE_CHECKING:
    from worldswitch.harness.environments.profiles.profile import Profile


def add(plan: Plan, names: Sequence[str], engine: EngineChoice, chosen: Sequence[Profile], say: Say) -> None:
    """Add the environments of these kernels; those of one that is known not to be had are `Missing`.

    An `engine` that makes containers, as where a profile is named, means only those.  One kernel must be there before
    anything begins, to see what QEMU can do with it; the others are fetched meanwhile.
    """
    wanted: list[Profile | None] = [*([None] if engine in ("auto", "host") else []), *chosen]
    kernels = KernelFetcher(names, say)
    plan.stack.callback(kernels.close)
    made, lacking = _make(kernels, plan, say)
    shares = machines_per_kernel(len(kernels.names), len(wanted), environment.processors())
    for name, each in zip(kernels.names, shares, strict=True):
        if made and name not in lacking:
            racks = [ReusedMachine(made, name, kernels, say) for _ in range(each)]
            for rack in racks:
                plan.stack.callback(rack.close)
            dealt = zip(wanted, itertools.cycle(racks), strict=False)
            plan.environments += [GuestEnvironment(rack, made.tree, profile, sum(shares)) for profile, rack in dealt]
        else:
            plan.environments += _missing(name, wanted, lacking[name])


def machines_per_kernel(kernels: int, cells: int, processors: int) -> list[int]:
    """In how many machines each kernel's cells are run beside each other, of so many for each of so many kernels.

    Emulated processors wait for each other, and each worker of a suite imports and collects for itself: two machines
    with a processor each take half the time of one with two.  Kernels come by as many as there are processors, and
    those of the last round, if they are fewer, have more machines than one each.
    """
    last = kernels % processors
    return [1] * (kernels - last) + [max(1, min(cells, processors // max(1, last)))] * last


def _make(kernels: KernelFetcher, plan: Plan, say: Say) -> tuple[MachineParts | None, dict[str, Unobtainable]]:
    """What machines are made from, as soon as a kernel is there; and why some of them or all cannot be had."""
    lacking = {}
    for name in kernels.names:
        try:
            kernel = kernels.get(name)
        except Unobtainable as problem:
            lacking[name] = problem
            continue
        if not plan.holdings:
            sweep()
            plan.holdings.append(RunResources.create())
        try:
            return environment.machine_parts(kernel, plan.holdings[0], say), lacking
        except Unobtainable as problem:
            return None, dict.fromkeys(kernels.names, problem)
    return None, lacking


def _missing(name: str, wanted: Iterable[Profile | None], problem: Unobtainable) -> list[Missing]:
    place = environment_of(name)
    return [Missing(f"{place}:{one.name}" if one else place, problem.reason, problem.remedy, one) for one in wanted]
