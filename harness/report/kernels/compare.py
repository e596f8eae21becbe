"""Compares two kernels, by a saved run that has both or by a new run."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from worldswitch.harness.errors import CouldNotRun
from worldswitch.harness.expectations.outcome import Status
from worldswitch.harness.report.kernels import difference
from worldswitch.harness.report.kernels.difference import KernelDifference
from worldswitch.harness.report.progress import Progress
from worldswitch.harness.results import manifest, reader
from worldswitch.harness.results.errors import ResultError
from worldswitch.harness.results.reader import KeptRun
from worldswitch.harness.results.writer import new_folder
from worldswitch.harness.run import runner
from worldswitch.harness.run.request import Request

#: The cheapest scenario: a new run is made for its cells' headers, which have the kernels' fingerprints.
SCENARIO = "KV1"


def compare(one: str, other: str, run: str, results: Path, out: Console) -> int:
    """Print how two kernels differ, by the run called `run`, else by the newest run with both, else by a new run."""
    if one == other:
        raise CouldNotRun(f"{one} is both kernels; name two")
    found = _in(run, results, one, other) if run else _in_any(results, one, other)
    if not found:
        found = _in_new(one, other, results, out)
    difference.show(found, (one, other), out)
    return Status.AS_EXPECTED


def _in(run: str, results: Path, one: str, other: str) -> KernelDifference:
    saved = reader.read(reader.find(run, results))
    if found := difference.between(saved, one, other):
        return found
    raise CouldNotRun(
        f"{saved.folder} has no results of Linux {one} and {other} under the same profile with all facts (a run of "
        f"chosen scenarios leaves them out); its cells with all facts are {_cells(saved)}"
    )


def _cells(run: KeptRun) -> str:
    return ", ".join(str(cell.name) for cell in run.cells if difference.has_all_facts(cell)) or "none"


def _in_any(results: Path, one: str, other: str) -> KernelDifference | None:
    for file in sorted(results.glob(f"*/{manifest.FILE}"), key=_begun, reverse=True):
        try:
            found = difference.between(reader.read(file.parent), one, other)
        except ResultError:  # a damaged run; the next older one may do
            continue
        if found:
            return found
    return None


def _begun(file: Path) -> str:
    """Return when a run began, from the name of its folder."""
    return file.parent.name.removeprefix("kernels-").removeprefix("repro-")


def _in_new(one: str, other: str, results: Path, out: Console) -> KernelDifference:
    request = Request(engine="host", kernels=(one, other), ids=(SCENARIO,), repeat="quick")
    scenarios = request.scenarios()
    folder = new_folder(results, "kernels-")
    with Progress(out, request, folder) as progress:
        run = runner.Run(request, scenarios, folder, progress)
        run.go()
    if run.interrupted:
        raise KeyboardInterrupt
    if found := difference.between(reader.read(run.folder), one, other):
        return found
    problems = [f"{outcome.cell}: {outcome.problem.reason}" for outcome in run.outcomes if outcome.problem]
    raise CouldNotRun("; ".join(problems) or f"{run.folder} has no fingerprints of these kernels")
