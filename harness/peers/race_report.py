"""`worldswitch bench --peers`: race them, keep what was measured, and print it."""

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
from worldswitch.harness.bench.session import recording
from worldswitch.harness.bench.units import shown
from worldswitch.harness.errors import CouldNotRun
from worldswitch.harness.expectations.outcome import Status
from worldswitch.harness.peers import peer_list, race
from worldswitch.harness.peers.peer import Kit
from worldswitch.harness.report.console import console
from worldswitch.harness.results.errors import ResultError
from worldswitch.harness.results.new_folder import new_folder

WITH_REFERENCE = f"/{peer_list.REFERENCE}"  #: ends the name of what the reference took beside a peer


@dataclass(frozen=True, slots=True)
class RaceEffort:
    """How much is run."""

    rounds: int  #: pairs of each peer and the first program
    others: int  #: the same of the other programs
    seconds: float  #: for one run of the first program
    brief: float  #: for one of another
    programs: tuple[str, ...]


QUICK = RaceEffort(rounds=3, others=3, seconds=0.1, brief=0.1, programs=("getpid",))
#: A tracer and its tracee that begin on one CPU may stay there for some tenths of a second, and cost a quarter of what
#: they do from then on: the first program runs longer than that.
FULL = RaceEffort(rounds=11, others=6, seconds=1.0, brief=0.3, programs=race.PROGRAMS)


@dataclass(frozen=True, slots=True)
class RaceRow:
    """One peer with one program."""

    manner: str
    program: str
    peer: str
    seconds: float  #: for one round of the program
    ratio: Estimate | None  #: to the reference; None where that does not run the program
    version: str


def show(names: Sequence[str], effort: RaceEffort, seed: int, parent: Path, *, fetch: bool) -> Status:
    """Race the peers whose names begin so, or all, into a new folder below `parent`."""
    out = console()
    folder = new_folder(parent)
    out.print(f"{len(effort.programs)} programs, {effort.rounds} rounds, seed {seed}")
    try:
        with recording(folder, peer_list.REFERENCE) as recorder, tempfile.TemporaryDirectory() as work:
            kit = Kit(fetch, lambda line: out.print(line), Path(work))
            ways = race.manners()
            order = random.Random(seed)
            often = (effort.rounds, effort.others, effort.seconds, effort.brief)
            race.Race(recorder, *often, effort.programs, ways, kit, order, kit.say).go(names)
        results = results_file.read(folder)
    except ResultError as problem:
        raise CouldNotRun(str(problem)) from problem
    tell(results, out)
    out.print(f"results: {folder / results_file.FILE}")
    return Status.AS_EXPECTED


def rows(results: Results) -> Iterator[RaceRow]:
    """What a file has of peers; what it took to start them is the program `start`."""
    for name, series in results.series.items():
        manner, program, peer = name.split("::") if name.count("::") == 2 else ("", "", "")
        if not manner.startswith("peers") or peer.endswith(WITH_REFERENCE):
            continue
        below = results.series.get(f"{name}{WITH_REFERENCE}")
        ratio = ratios.of_pairs(series.by_round, below.by_round) if below else None
        yield RaceRow(manner, program, peer, series.median, ratio, str(series.about.get("version", "")))


def tell(results: Results, out: Console) -> None:
    """Print it, with what could not be had and why."""
    table = Table("program", "peer", "placement", "median", "reference = 1", "version", box=None)
    for row in sorted(rows(results), key=lambda row: (row.manner, row.program, row.seconds)):
        placement = "one CPU" if row.manner.endswith("pinned") else "as users run it"
        ratio = str(row.ratio) if row.ratio else ""
        table.add_row(row.program, row.peer, placement, shown(row.seconds, "second"), ratio, row.version)
    out.print(table)
    for name, reason in sorted(results.absent.items()):
        out.print(f"{name}: {reason}")
