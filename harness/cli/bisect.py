"""`worldswitch bisect`: between two kernels, where a scenario turns."""

from __future__ import annotations

import argparse

from worldswitch.harness.cli import options
from worldswitch.harness.report.console import console

ABOUT = "find the kernel on which a scenario turns, among all that the Debian mirror has"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Which scenario, between what, and how."""
    parser.add_argument("scenario", metavar="SCENARIO", help="an id or a name that means one scenario")
    parser.add_argument("--good", required=True, metavar="KERNEL", help="where it passes: 6.12, or 6.12.94+deb13")
    parser.add_argument("--bad", required=True, metavar="KERNEL", help="where it does not; may be the older of the two")
    parser.add_argument(
        "--profile", metavar="NAME", default="", help="in the container of this profile (default: in no container)"
    )
    parser.add_argument(
        "--repeat",
        type=options.count,
        default=1,
        metavar="N",
        help="run it so often on each kernel; one failure is bad",
    )
    options.seed(parser)


def main(asked: argparse.Namespace) -> int:
    """Find it, and say how to see it."""
    from worldswitch.harness.report.kernels import first_bad

    ends = (asked.good, asked.bad)
    return first_bad.find(asked.scenario, ends, asked.profile, asked.repeat, asked.seed, console())
