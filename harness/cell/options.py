"""The options of a run of trials, which the pytest plugin and a cell have in common."""

from __future__ import annotations

from collections.abc import Callable

from worldswitch.harness.catalogue.scenarios import REPEAT, SCENARIOS
from worldswitch.harness.cell import seeds


def add(option: Callable[..., object]) -> None:
    """Add them by `option`, which is argparse's `add_argument` or pytest's `addoption`."""
    option("--platform", default="reference", metavar="NAME", help="an installed platform, or package.module:Class")
    option("--mutant", metavar="NAME", help="a mutant of the reference in place of a platform")
    option("--repeat", choices=REPEAT, default="normal", help="how often scenarios repeat what they repeat")
    option("--seed", type=seeds.number, metavar="N", help="repeat the random choices of the run with this seed")
    option(
        "--id",
        action="append",
        default=[],
        metavar="ID",
        help="only scenarios by id or name: TT01, 'SG*', 'pool::*'",
    )
    option("--no-chaos", dest="chaos", action="store_false", help="leave the scenarios out in which chaos reigns: CH*")
    option("--deadline", type=float, default=float("inf"), metavar="SECONDS", help="no trial may take longer than this")
    option("--time-scale", type=float, default=1.0, metavar="X", help="this environment is X times slower than most")
    option("--scenarios", default=SCENARIOS, metavar="PACKAGE", help="whose scenarios to run")
    option("--environment", default="{}", metavar="JSON", help="facts on the environment, for the results' header")
