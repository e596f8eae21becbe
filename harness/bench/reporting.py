"""`worldswitch bench report`: where the report is made, and of which run."""

from __future__ import annotations

from pathlib import Path

from worldswitch.harness import report
from worldswitch.harness.bench import records
from worldswitch.harness.bench.report import page
from worldswitch.harness.outcome import Status
from worldswitch.harness.request import CouldNotRun
from worldswitch.harness.results import ResultError


def show(run: Path | None, parent: Path) -> Status:
    """Make the report of a run, by default of the newest below `parent`, beside its results."""
    try:
        results = records.read(run or newest(parent))
    except ResultError as problem:
        raise CouldNotRun(str(problem)) from problem
    report.console().print(f"report: {page.write(results, results.path.parent)}")
    return Status.AS_EXPECTED


def newest(parent: Path) -> Path:
    """The newest run of benchmarks below a folder; raises `CouldNotRun` if there is none."""
    files = sorted(parent.glob(f"*/{records.FILE}"), key=lambda file: file.stat().st_mtime)
    if not files:
        raise CouldNotRun(f"there is no run of benchmarks below {parent}: make one by worldswitch bench")
    return files[-1]
