"""`worldswitch diff`: two runs, held against each other."""

from __future__ import annotations

import argparse

from worldswitch.harness.cli import options
from worldswitch.harness.report.console import console

ABOUT = "say what newly fails, is fixed, is missing or has changed from one run to another"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Which runs, and for whom."""
    parser.add_argument("before", metavar="RUN_A", help="a run's folder, or its name in results: results/baseline")
    parser.add_argument("after", metavar="RUN_B", nargs="?", default="last", help="a later one (default: the last run)")
    parser.add_argument(
        "--again",
        **options.MANY,
        metavar="RUN",
        help="a repetition of RUN_B: what comes out now so, now otherwise is flaky, and not newly failing; repeatable",
    )
    parser.add_argument(
        "--across",
        action="store_true",
        help="compare this machine's kernel even if its version is another; those of VMs are told apart always",
    )
    options.json(parser)


def main(asked: argparse.Namespace) -> int:
    """Compare, and tell; 1 if something newly fails, 2 if something is newly missing."""
    import json

    from worldswitch.harness.report import comparison as comparison_text
    from worldswitch.harness.report.matrix import views
    from worldswitch.harness.results import comparison

    runs = [views.read(name) for name in (asked.after, *asked.again)]
    found = comparison.compare(views.read(asked.before), *runs, across=asked.across)
    if asked.json:
        print(json.dumps(comparison_text.as_json(found), indent=2))
    else:
        comparison_text.show(found, console())
    return found.status
