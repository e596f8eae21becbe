"""The environments of kernels that are booted: for each kernel its whole guest, and a container in it per profile."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from worldswitch.harness.environment import EngineChoice, Environment, Missing, Plan, Say
from worldswitch.harness.holdings import Holdings, Unobtainable, sweep
from worldswitch.harness.kernels import shelf
from worldswitch.harness.kernels.kernel import Kernel, environment_of

if TYPE_CHECKING:
    from worldswitch.harness.profiles import Profile


def add(plan: Plan, names: Sequence[str], engine: EngineChoice, chosen: Sequence[Profile], say: Say) -> None:
    """Add the environments of these kernels; which of them cannot be had is `Missing`.

    An `engine` that makes containers, as where a profile is named, means only those.
    """
    wanted: list[Profile | None] = [*([None] if engine in ("auto", "host") else []), *chosen]
    for name in dict.fromkeys(names):
        try:
            plan.environments += _of(shelf.obtain(name, say), plan, wanted, say)
        except Unobtainable as problem:
            plan.environments += _missing(name, wanted, problem)


def _of(kernel: Kernel, plan: Plan, wanted: Iterable[Profile | None], say: Say) -> list[Environment]:
    from worldswitch.harness.vm import environment
    from worldswitch.harness.vm.rack import Rack

    if not plan.holdings:
        sweep()
        plan.holdings.append(Holdings.create())
    made = environment.workshop(kernel, plan.holdings[0], say)
    rack = Rack(made.hardware, kernel, say)
    plan.stack.callback(rack.close)
    return [environment.Guest(rack, made.tree, profile) for profile in wanted]


def _missing(name: str, wanted: Iterable[Profile | None], problem: Unobtainable) -> list[Missing]:
    place = environment_of(Path(name).name if shelf.is_file(name) else name)
    return [
        Missing(
            f"{place}:{one.name}" if one else place, problem.reason, problem.remedy, one.expectations if one else ()
        )
        for one in wanted
    ]
