"""`worldswitch matrix`: run every scenario but chaos in a container of every profile on every kernel."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace

from worldswitch.harness.cli import options, run
from worldswitch.harness.cli.parsing import statuses
from worldswitch.harness.report.progress import Detail

ABOUT = "run the scenarios on many kernels, in a container of each profile"
STATUSES = statuses.RUN
EXAMPLES = """
worldswitch matrix --quick                      # three kernels, three profiles
worldswitch matrix --kernel 6.1 --profile hardened --id 'SG*'
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options: which cells, how, and the results' folder."""
    parser.add_argument(
        "--quick",
        action="store_true",
        help="run three kernels, three profiles, and the scenarios that depend most on the kernel",
    )
    where = parser.add_argument_group("which part to run")
    where.add_argument(
        "--kernel",
        **options.MANY,
        dest="kernels",
        metavar="NAME",
        help="only this kernel: 6.12, 6.12.94+deb13, or a path to a bzImage; repeatable (default: the whole list)",
    )
    options.profiles(where)
    options.ids(where)
    options.how_to_run(parser, repeat="quick")
    options.many_machines(parser)
    options.results(parser)
    run.how_to_print(parser)
    parser.set_defaults(chaos=False, engine="docker")


def main(arguments: argparse.Namespace) -> int:
    """Run the matrix, and print the outcome as a table."""
    from worldswitch.harness.catalogue import quick_set
    from worldswitch.harness.environments.kernels import selection

    request = options.request(arguments)
    say = _silent if arguments.detail is Detail.QUIET else _say
    if arguments.quick:
        request.scenarios()  # raises `CouldNotRun` before kernels are fetched
        say("choosing the kernels of a quick matrix ...")
        request = replace(
            request,
            # Parts of a run must agree: what one machine can fetch does not decide.
            kernels=request.kernels or selection.quick(say, check=not (arguments.shard or arguments.list_json)),
            profiles=request.profiles or selection.QUICK_PROFILES,
            ids=request.ids or quick_set.names(),
        )
    request = replace(request, kernels=request.kernels or selection.names())
    return run.distribute(request, arguments, as_matrix=True)


def _say(line: str) -> None:
    """Print a line of progress, beside the JSON of `--list-json`."""
    print(line, file=sys.stderr, flush=True)


def _silent(line: str) -> None:
    """Print nothing."""
