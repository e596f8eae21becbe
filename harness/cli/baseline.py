"""`worldswitch baseline`: the run that later ones are held against."""

from __future__ import annotations

import argparse
from pathlib import Path

from worldswitch.harness.cli import options

ABOUT = "make a run the baseline: the run that later ones are held against"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Which run, and where the baseline is kept."""
    options.run_folder(parser)
    parser.add_argument(
        "-o",
        dest="output",
        type=Path,
        default=Path("results", "baseline"),
        metavar="DIR",
        help="the folder to keep it in (default: %(default)s)",
    )


def main(asked: argparse.Namespace) -> int:
    """Keep it, and tell what it is."""
    from worldswitch.harness.expectations.outcome import Status, tally
    from worldswitch.harness.report.matrix import summary, views
    from worldswitch.harness.results.baseline import write

    run = views.read(asked.run)
    path = write.write(run, asked.output)
    print(f"{path}: {path.stat().st_size / 1000:.0f} kB\n{run.manifest.run}, {summary.headline(run)}")
    print(f"hold a run against it: worldswitch diff {asked.output} RUN\n{tally(run.outcomes)}")
    return Status.AS_EXPECTED
