"""`worldswitch bench --peers`: runs the race, writes its results and prints them."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from worldswitch.harness.bench import results_file
from worldswitch.harness.bench.report.content import peer_results
from worldswitch.harness.bench.results_file import Results
from worldswitch.harness.bench.session import results_writer
from worldswitch.harness.bench.units import shown
from worldswitch.harness.errors import CouldNotRun
from worldswitch.harness.expectations.outcome import Status
from worldswitch.harness.nearest import hint
from worldswitch.harness.peers import peer_list, race
from worldswitch.harness.peers.peer import Kit
from worldswitch.harness.peers.race import RaceEffort
from worldswitch.harness.report.console import console
from worldswitch.harness.results.writer import new_folder


def show(names: Sequence[str], effort: RaceEffort, seed: int, parent: Path, *, fetch: bool) -> Status:
    """Race the peers whose names start with one of `names`, or all; results go to a new folder below `parent`."""
    _check(names)
    out = console()
    folder = new_folder(parent)
    out.print(f"{len(effort.programs)} programs, {effort.rounds} rounds, seed {seed}")
    with results_writer(folder, peer_list.REFERENCE) as writer, tempfile.TemporaryDirectory() as work:
        kit = Kit(fetch, out.print, Path(work))
        race.Race(writer, effort, race.modes(), kit, random.Random(seed), kit.say).go(names)
    results = results_file.read(folder)
    print_results(results, out)
    out.print(f"results: {folder / results_file.FILE}")
    return Status.AS_EXPECTED


def _check(names: Sequence[str]) -> None:
    """Raise `CouldNotRun` for a name that no peer's name can begin with."""
    known = [obtain.__name__.replace("_", "-") for obtain in peer_list.PEERS]
    for name in names:
        if not any(one.startswith(name) or name.startswith(f"{one}-") for one in known):
            raise CouldNotRun(f"no peer is called {name!r}{hint(name, known)}; there are {', '.join(known)}")


def print_results(results: Results, out: Console) -> None:
    """Print a table of the results, and the peers that did not run."""
    table = Table("program", "peer", "placement", "median", "reference = 1", "version", box=None)
    for one in peer_results(results):
        ratio = str(one.ratio) if one.ratio else ""
        table.add_row(one.program, one.name, one.mode, shown(one.each.middle, "second"), ratio, one.version)
    out.print(table)
    for name, reason in sorted(results.absent.items()):
        out.print(f"{name}: {reason}")
