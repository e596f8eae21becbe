"""`worldswitch baseline`: save a run as the baseline."""

from __future__ import annotations

import argparse
from pathlib import Path

from worldswitch.harness.cli import options
from worldswitch.harness.cli.parsing import statuses
from worldswitch.harness.errors import CouldNotRun

ABOUT = "save a run as the baseline that later runs are compared with"
STATUSES = {0: "written", 2: f"nothing ran in that run; or {statuses.BAD_INPUT}"}
EXAMPLES = """
worldswitch baseline last -o results/baseline
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options: the run, and the baseline's folder."""
    options.run_folder(parser)
    parser.add_argument(
        "-o",
        dest="output",
        type=Path,
        default=Path("results", "baseline"),
        metavar="DIR",
        help="write the baseline to this folder (default: %(default)s)",
    )


def main(arguments: argparse.Namespace) -> int:
    """Write the baseline, and print its size and counts."""
    from worldswitch.harness.expectations.outcome import Status, tally
    from worldswitch.harness.report.matrix import summary, views
    from worldswitch.harness.results.baseline import write

    run = views.read(arguments.run)
    if not run.ran:
        raise CouldNotRun(f"{run.folder}: nothing ran in this run, so no run can be compared with it")
    path = write.write(run, arguments.output)
    print(f"{path}: {path.stat().st_size / 1000:.0f} kB\n{run.manifest.run}, {summary.headline(run)}")
    print(f"compare a run with it: worldswitch diff {arguments.output} RUN\n{tally(run.outcomes)}")
    return Status.AS_EXPECTED
