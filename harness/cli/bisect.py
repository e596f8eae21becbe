"""`worldswitch bisect`: find the first bad kernel between a good and a bad one."""

from __future__ import annotations

import argparse

from worldswitch.harness.cli import options
from worldswitch.harness.report.console import console

ABOUT = "find the first bad kernel of a scenario, among those on the Debian mirror"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options: the scenario, the two kernels, and how to run it."""
    parser.add_argument("scenario", metavar="SCENARIO", help="an id or name that matches exactly one scenario")
    parser.add_argument("--good", required=True, metavar="KERNEL", help="where it passes: 6.12, or 6.12.94+deb13")
    parser.add_argument("--bad", required=True, metavar="KERNEL", help="where it fails; may be older than the good one")
    parser.add_argument(
        "--profile", metavar="NAME", default="", help="run it in a container of this profile (default: no container)"
    )
    parser.add_argument(
        "--repeat",
        type=options.count,
        default=1,
        metavar="N",
        help="run it N times on each kernel; one failure makes the kernel bad (default: %(default)s)",
    )
    options.seed(parser)


def main(arguments: argparse.Namespace) -> int:
    """Find the first bad kernel, and print the commands that show the difference."""
    from worldswitch.harness.report.kernels import first_bad

    ends = (arguments.good, arguments.bad)
    return first_bad.find(arguments.scenario, ends, arguments.profile, arguments.repeat, arguments.seed, console())
