"""`worldswitch bench report`: chooses the runs and writes their report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from worldswitch.harness.bench import results_file
from worldswitch.harness.bench.report import content, page
from worldswitch.harness.bench.results_file import UnlikeMachines
from worldswitch.harness.errors import CouldNotRun
from worldswitch.harness.expectations.outcome import Status
from worldswitch.harness.report.console import console


def show(runs: Sequence[Path], parent: Path, *, anyway: bool = False) -> Status:
    """Write one report on these runs into the first one's folder.

    Without runs, report on the newest run below `parent` and on the newest race with peers.
    """
    try:
        read = [results_file.read(run) for run in runs or newest(parent)]
        joined = results_file.join(read, anyway=anyway)
    except UnlikeMachines as problem:
        raise CouldNotRun(f"{problem}; name only one of them, or join them by --anyway") from problem
    console().print(f"report: {page.write(joined, joined.path.parent)}")
    return Status.AS_EXPECTED


def newest(parent: Path) -> list[Path]:
    """Return the newest run of the suite and the newest race with peers.  Raises `CouldNotRun` if there is neither."""
    files = sorted(parent.glob(f"*/{results_file.FILE}"), key=lambda file: file.stat().st_mtime, reverse=True)
    kinds: dict[bool, Path] = {}
    for file in files:
        kinds.setdefault(_has_peers_alone(file), file)
    if not kinds:
        raise CouldNotRun(f"there is no run of benchmarks below {parent}: run worldswitch bench first")
    return [kinds[kind] for kind in sorted(kinds)]


def _has_peers_alone(file: Path) -> bool:
    return all(one.subject in content.RUN_MODES for one in results_file.read(file).series.values())
