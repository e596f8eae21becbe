"""`worldswitch bisect`: find the first bad kernel between a good and a bad one."""

from __future__ import annotations

import argparse

from worldswitch.harness.cli import options
from worldswitch.harness.cli.parsing import completers
from worldswitch.harness.cli.parsing.completers import completed_by
from worldswitch.harness.report.console import console

ABOUT = "find the first bad kernel of a scenario, among those on the Debian mirror"
STATUSES = {
    0: "found: the last good kernel and the first bad one",
    2: "an end is not as stated, so there is nothing to find; or a name is unknown, or a kernel cannot be had",
}
EXAMPLES = """
worldswitch bisect KD3 --good 5.10 --bad 6.1    # a fact: bad is an observation other than that of the good end
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options: the scenario, the two kernels, and how to run it."""
    scenario = parser.add_argument("scenario", metavar="SCENARIO", help="an id or name of exactly one scenario")
    good = parser.add_argument("--good", required=True, metavar="KERNEL", help="where it passes: 6.12, 6.12.94+deb13")
    bad = parser.add_argument("--bad", required=True, metavar="KERNEL", help="where it fails; may be the older one")
    profile = parser.add_argument(
        "--profile", metavar="NAME", default="", help="run it in a container of this profile (default: no container)"
    )
    completed_by(completers.scenarios, scenario)
    completed_by(completers.profiles, profile)
    for end in (good, bad):
        completed_by(completers.kernels, end)
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
