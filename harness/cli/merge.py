"""`worldswitch merge`: make one run of several, such as the shards of a matrix."""

from __future__ import annotations

import argparse

from worldswitch.harness.cli import options
from worldswitch.harness.report.console import console
from worldswitch.harness.results.writer import new_folder

ABOUT = "make one run, and one page, of runs of different cells, such as the shards of a matrix"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options: the runs, and the folder of the merged one."""
    parser.add_argument("runs", nargs="+", metavar="RUN", help="a run's folder, or its name in the folder of the runs")
    options.results(parser)


def main(arguments: argparse.Namespace) -> int:
    """Merge the runs, and print the outcome; returns the exit status of the whole."""
    from worldswitch.harness.expectations.outcome import Status
    from worldswitch.harness.report import run_files
    from worldswitch.harness.report.matrix import summary, table
    from worldswitch.harness.results import reader
    from worldswitch.harness.run import merging

    runs = [reader.read(reader.find(name, arguments.results)) for name in arguments.runs]
    merging.check(runs)
    out = console()
    for difference in merging.differences(runs):
        out.print(f"not the same: {difference}")
    folder = new_folder(arguments.results)
    merging.merge(runs, folder)
    merged = reader.read(folder)
    unkept = run_files.write(merged.outcomes, folder, merged.manifest.stale)
    table.show(merged, out)
    if unkept:
        out.print(f"not all reports could be written: {unkept}")
    return summary.exit_status(merged) or (Status.COULD_NOT_RUN if unkept else Status.AS_EXPECTED)
