"""`worldswitch explain`: one trial of a kept run, explained."""

from __future__ import annotations

import argparse
from pathlib import Path

from worldswitch.harness.report.console import console

ABOUT = "explain one trial of a kept run: what was claimed and expected, what happened, and what bears on it"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Which, and where results are."""
    parser.add_argument(
        "cell",
        metavar="CELL[@RUN]",
        help="as in host::signals::a_sentence@results/20260102T030405-0a1b; an id for the scenario and a run's name do "
        "too; without a run, the last",
    )
    parser.add_argument(
        "--results", type=Path, default=Path("results"), metavar="DIR", help="where results are (default: %(default)s)"
    )


def main(asked: argparse.Namespace) -> int:
    """Explain it."""
    from worldswitch.harness.expectations.outcome import Status
    from worldswitch.harness.report import explain
    from worldswitch.harness.results import trial_id

    explain.show(trial_id.find(asked.cell, asked.results), console())
    return Status.AS_EXPECTED
