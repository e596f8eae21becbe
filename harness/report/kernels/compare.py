"""`worldswitch kernels diff`: two kernels side by side, from a run that met both, or from one made for it."""

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

#: The cheapest thing to run: what is wanted is the header, which says what machine it is.
SCENARIO = "KV1"


def compare(one: str, other: str, run: str, results: Path, out: Console) -> int:
    """Print how two kernels differ: in the run called `run`, or the newest that met both, or in a new one."""
    found = _in(run, results, one, other) if run else _in_any(results, one, other)
    if not found:
        found = _afresh(one, other, results, out)
    difference.show(found, (one, other), out)
    return Status.AS_EXPECTED


def _in(run: str, results: Path, one: str, other: str) -> KernelDifference:
    kept = reader.read(reader.find(run, results))
    if found := difference.between(kept, one, other):
        return found
    raise CouldNotRun(
        f"{kept.folder} did not meet Linux {one} and {other} in the same surroundings; "
        f"its cells with a result are {_cells(kept)}"
    )


def _cells(run: KeptRun) -> str:
    return ", ".join(str(cell.name) for cell in run.cells if cell.header) or "none"


def _in_any(results: Path, one: str, other: str) -> KernelDifference | None:
    for file in sorted(results.glob(f"*/{manifest.FILE}"), reverse=True):
        try:
            found = difference.between(reader.read(file.parent), one, other)
        except ResultError:  # somebody else's concern
            continue
        if found:
            return found
    return None


def _afresh(one: str, other: str, results: Path, out: Console) -> KernelDifference:
    request = Request(engine="host", kernels=(one, other), ids=(SCENARIO,), repeat="quick")
    scenarios = request.scenarios()
    folder = new_folder(results)
    with Progress(out, request, folder) as progress:
        run = runner.Run(request, scenarios, folder, progress)
        run.go()
    if run.interrupted:
        raise KeyboardInterrupt
    if found := difference.between(reader.read(run.folder), one, other):
        return found
    problems = [f"{outcome.cell}: {outcome.problem.reason}" for outcome in run.outcomes if outcome.problem]
    raise CouldNotRun("; ".join(problems) or f"{run.folder} says nothing of what these kernels are")
