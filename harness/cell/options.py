"""The options of a run of trials, common to the pytest plugin and a cell."""

from __future__ import annotations

from collections.abc import Callable

from worldswitch.harness.catalogue.scenarios import REPEAT, SCENARIOS
from worldswitch.harness.cell import seeds


def add(option: Callable[..., object]) -> None:
    """Add the options by `option`: argparse's `add_argument` or pytest's `addoption`."""
    option("--platform", default="reference", metavar="NAME", help="an installed platform, or package.module:Class")
    option("--mutant", metavar="NAME", help="a mutant of the reference instead of a platform")
    option("--repeat", choices=REPEAT, default="normal", help="the number of repetitions in scenarios")
    option("--seed", type=seeds.number, metavar="N", help="repeat the random choices of the run with this seed")
    option(
        "--id",
        action="append",
        default=[],
        metavar="ID",
        help="only scenarios by id or name: TT01, 'SG*', 'pool::*'",
    )
    option("--no-chaos", dest="chaos", action="store_false", help="exclude the chaos scenarios (CH*)")
    option("--deadline", type=float, default=float("inf"), metavar="SECONDS", help="the upper bound for every trial")
    option("--time-scale", type=float, default=1.0, metavar="X", help="multiply the scenarios' deadlines by X")
    option("--scenarios", default=SCENARIOS, metavar="PACKAGE", help="the package of scenarios to run")
    option("--environment", default="{}", metavar="JSON", help="facts about the environment, for the header")
