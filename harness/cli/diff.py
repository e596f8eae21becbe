"""`worldswitch diff`: compare two runs."""

from __future__ import annotations

import argparse

from worldswitch.harness.cli import options
from worldswitch.harness.cli.parsing import completers
from worldswitch.harness.cli.parsing.completers import completed_by
from worldswitch.harness.report.console import console

ABOUT = "compare two runs: list what newly fails, is fixed, is missing or has changed"
STATUSES = {
    0: "nothing newly fails, and nothing is newly missing",
    1: "a trial newly fails",
    2: "a trial that had a result has none now; or no trial has a result in both runs; or a run cannot be read",
}
EXAMPLES = """
worldswitch diff RUN_A RUN_B
worldswitch diff baseline                       # the last run, with the baseline
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options: the runs, and the output format."""
    before = parser.add_argument(
        "before", metavar="RUN_A", help="the earlier run: a folder, a name in results, baseline"
    )
    after = parser.add_argument(
        "after", metavar="RUN_B", nargs="?", default="last", help="the later run (default: last)"
    )
    for run in (before, after):
        completed_by(completers.runs, run)
    parser.add_argument(
        "--again",
        **options.MANY,
        metavar="RUN",
        help="a repetition of RUN_B: a trial whose verdict varies is flaky, not newly failing; repeatable",
    )
    parser.add_argument(
        "--across",
        action="store_true",
        help="compare the hosts' kernels even if their versions differ; VMs are always matched by kernel version",
    )
    options.json(parser)


def main(arguments: argparse.Namespace) -> int:
    """Print the comparison; returns 1 if a trial newly fails, 2 if one is newly missing."""
    import json

    from worldswitch.harness.report import comparison as comparison_text
    from worldswitch.harness.report.matrix import views
    from worldswitch.harness.results import comparison

    runs = [views.read(name) for name in (arguments.after, *arguments.again)]
    found = comparison.compare(views.read(arguments.before), *runs, across=arguments.across)
    if arguments.json:
        print(json.dumps(comparison_text.as_json(found), indent=2))
    else:
        comparison_text.show(found, console())
    return found.status
