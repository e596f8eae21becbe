"""`worldswitch merge`: make one run of the runs of its shards."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from worldswitch.harness.cli import options
from worldswitch.harness.cli.parsing import statuses
from worldswitch.harness.expectations.outcome import Problem
from worldswitch.harness.results.reader import KeptRun

ABOUT = "make one run of the runs that `--shard` made on several machines"
STATUSES = statuses.RUN
EXAMPLES = "worldswitch merge results/20260102T030405-0a1b results/20260102T030406-2c3d"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the arguments: the runs to merge, and the folder of runs."""
    parser.add_argument("runs", nargs="+", metavar="RUN", help="a run's folder, or its name in results")
    options.results(parser)


def main(arguments: argparse.Namespace) -> int:
    """Merge the runs, and print the outcome."""
    from worldswitch.harness.results import reader

    runs = [reader.read(reader.find(name, arguments.results)) for name in arguments.runs]
    return merge(runs, arguments.results)


def merge(runs: Sequence[KeptRun], results: Path, lost: Mapping[str, Problem] | None = None) -> int:
    """Merge runs into a new folder in `results`, write its reports, print the outcome; returns the exit status."""
    from worldswitch.harness.expectations.outcome import status
    from worldswitch.harness.report import run_files
    from worldswitch.harness.report.console import console
    from worldswitch.harness.report.matrix import table
    from worldswitch.harness.results import merging, reader
    from worldswitch.harness.results.writer import new_folder

    folder = new_folder(results)
    try:
        merging.merge(runs, folder, lost)
    except BaseException:
        _remove(folder)
        raise
    for line in merging.differences(runs):
        print(f"note: {line}", file=sys.stderr)
    merged = reader.read(folder)
    stale = merged.manifest.stale
    if unkept := run_files.write(merged.outcomes, folder, stale):
        print(f"worldswitch merge: not all reports could be written: {unkept}", file=sys.stderr)
    out = console()
    out.print(f"results: {folder}")
    table.show(merged, out)
    return status(merged.outcomes, stale)


def _remove(folder: Path) -> None:
    """Remove the folder of a merge that failed."""
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
