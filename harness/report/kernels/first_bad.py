"""Bisects kernels for a scenario, and prints each step and the first bad kernel."""

from __future__ import annotations

from rich.console import Console

from worldswitch.harness.catalogue import scenarios
from worldswitch.harness.catalogue.scenarios import Scenario
from worldswitch.harness.cell_name import CellName
from worldswitch.harness.environments.kernels import versions
from worldswitch.harness.environments.kernels.image import environment_of
from worldswitch.harness.errors import CouldNotRun, Unobtainable
from worldswitch.harness.expectations.outcome import Status
from worldswitch.harness.run.bisect.kernel_judge import KernelJudge
from worldswitch.harness.run.bisect.search import Boundary, Undecidable, search
from worldswitch.harness.run.request import Request, select


def find(name: str, ends: tuple[str, str], profile: str, repeat: int, seed: int, out: Console) -> Status:
    """Find the first kernel between `ends`, good and bad, on which the scenario fails, and print it."""
    scenario = _one(name)
    request = Request(
        ids=(scenario.name,),
        engine="docker" if profile else "host",
        profiles=(profile,) if profile else (),
        repeat="quick",
        all_facts=False,
        seed=seed,
    )
    request.scenarios()  # raises `CouldNotRun` if the profile is invalid

    def say(line: str) -> None:
        out.print(f"{line} ...")

    try:
        tried = versions.between(*ends, say=say)
        out.print(f"{scenario.name}: {len(tried)} kernels, from {tried[0]} to {tried[-1]}")
        found = search(tried, KernelJudge(scenario, request, repeat, say, lambda sight: out.print(str(sight))))
    except (Unobtainable, Undecidable) as problem:
        raise CouldNotRun(str(problem)) from problem
    _show(found, request, scenario, out)
    return Status.AS_EXPECTED


def _one(name: str) -> Scenario:
    found = select(scenarios.scenarios(), (name,))
    if len(found) > 1:
        names = ", ".join(scenario.name for scenario in found)
        raise CouldNotRun(f"{name} matches {len(found)} scenarios; name exactly one: {names}")
    return found[0]


def _show(found: Boundary[str], request: Request, scenario: Scenario, out: Console) -> None:
    out.print(f"\nlast good: {found.good}\nfirst bad: {found.bad}")
    if found.between:
        out.print(f"could not be judged; any of these may be the first bad kernel: {', '.join(found.between)}")
    out.print("\nto repeat both:")
    for kernel in (found.good, found.bad):
        profile = f":{request.profiles[0]}" if request.profiles else ""
        out.print(f"  {request.again(CellName(f'{environment_of(kernel)}{profile}'), scenario.name)}")
