"""`worldswitch bench --peers`: runs the race, writes its results and prints them."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from worldswitch.harness.bench import ratios, results_file
from worldswitch.harness.bench.ratios import Estimate
from worldswitch.harness.bench.results_file import Results
from worldswitch.harness.bench.session import results_writer
from worldswitch.harness.bench.units import shown
from worldswitch.harness.expectations.outcome import Status
from worldswitch.harness.peers import peer_list, race
from worldswitch.harness.peers.peer import Kit
from worldswitch.harness.peers.race import RaceEffort
from worldswitch.harness.report.console import console
from worldswitch.harness.results.writer import new_folder

WITH_REFERENCE = f"/{peer_list.REFERENCE}"  #: the suffix of the series that the reference ran paired with a peer


@dataclass(frozen=True, slots=True)
class RaceRow:
    """One peer with one program."""

    mode: str
    program: str
    peer: str
    seconds: float  #: per round of the program
    ratio: Estimate | None  #: peer ÷ reference; None if the reference does not run the program
    version: str


def show(names: Sequence[str], effort: RaceEffort, seed: int, parent: Path, *, fetch: bool) -> Status:
    """Race the peers whose names start with one of `names`, or all; results go to a new folder below `parent`."""
    out = console()
    folder = new_folder(parent)
    out.print(f"{len(effort.programs)} programs, {effort.rounds} rounds, seed {seed}")
    with results_writer(folder, peer_list.REFERENCE) as writer, tempfile.TemporaryDirectory() as work:
        kit = Kit(fetch, lambda line: out.print(line), Path(work))
        race.Race(writer, effort, race.modes(), kit, random.Random(seed), kit.say).go(names)
    results = results_file.read(folder)
    print_results(results, out)
    out.print(f"results: {folder / results_file.FILE}")
    return Status.AS_EXPECTED


def rows(results: Results) -> Iterator[RaceRow]:
    """Yield a row per peer and program; the program `start` is the time to start and end the peer."""
    for name, series in results.series.items():
        mode, program, peer = name.split("::") if name.count("::") == 2 else ("", "", "")
        if not mode.startswith("peers") or peer.endswith(WITH_REFERENCE):
            continue
        below = results.series.get(f"{name}{WITH_REFERENCE}")
        ratio = ratios.of_pairs(series.by_round, below.by_round) if below else None
        yield RaceRow(mode, program, peer, series.median, ratio, str(series.about.get("version", "")))


def print_results(results: Results, out: Console) -> None:
    """Print a table of the results, and the peers that did not run."""
    table = Table("program", "peer", "placement", "median", "reference = 1", "version", box=None)
    for row in sorted(rows(results), key=lambda row: (row.mode, row.program, row.seconds)):
        placement = "one CPU" if row.mode.endswith("pinned") else "as users run it"
        ratio = str(row.ratio) if row.ratio else ""
        table.add_row(row.program, row.peer, placement, shown(row.seconds, "second"), ratio, row.version)
    out.print(table)
    for name, reason in sorted(results.absent.items()):
        out.print(f"{name}: {reason}")
