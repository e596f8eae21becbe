"""`worldswitch explain`: explain one trial of a saved run."""

from __future__ import annotations

import argparse

from worldswitch.harness.cli import options
from worldswitch.harness.cli.parsing import statuses
from worldswitch.harness.report.console import console

ABOUT = "explain one trial of a saved run: the claim, the expectation, what happened, and the likely cause"
STATUSES = statuses.READ
EXAMPLES = """
worldswitch explain host::IN03                  # of the last run
worldswitch explain docker:hardened::TT01@RUN
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options: the trial, and the folder of the runs."""
    parser.add_argument(
        "trial",
        metavar="TRIAL[@RUN]",
        help="such as host::signals::a_sentence@results/20260102T030405-0a1b; an id may replace the scenario, and a "
        "run's name its folder (default: the last run)",
    )
    options.results(parser)


def main(arguments: argparse.Namespace) -> int:
    """Print the explanation of the trial."""
    from worldswitch.harness.expectations.outcome import Status
    from worldswitch.harness.report import explain
    from worldswitch.harness.results import trial_id

    explain.show(trial_id.find(arguments.trial, arguments.results), console())
    return Status.AS_EXPECTED
