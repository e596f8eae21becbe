"""`worldswitch matrix`: run every scenario but chaos in a container of every profile on every kernel."""

from __future__ import annotations

import argparse
from dataclasses import replace

from worldswitch.harness.cli import options, run
from worldswitch.harness.cli.parsing import statuses
from worldswitch.harness.environments.protocol import Say
from worldswitch.harness.report.console import console
from worldswitch.harness.report.progress import Progress
from worldswitch.harness.run.request import Request

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
    from worldswitch.harness.environments.kernels import selection

    request = options.request(arguments)
    if arguments.quick:
        # Beside the JSON of `--list-json`; a choice that fetches kernels may take minutes.
        with Progress(console(stderr=True), request, detail=arguments.detail) as progress:
            progress.say("choosing the kernels of a quick matrix")
            # Parts of a run must agree: what one machine can fetch does not decide.
            request = _quick(request, progress.say, check=not (arguments.shard or arguments.list_json))
    request = replace(request, kernels=request.kernels or selection.names())
    return run.distribute(request, arguments, as_matrix=True)


def _quick(request: Request, say: Say, *, check: bool) -> Request:
    """Return the request with the choice of a quick matrix for what it leaves open.  Raises `CouldNotRun`."""
    from worldswitch.harness.catalogue import quick_set
    from worldswitch.harness.environments.kernels import selection

    request.scenarios()  # raises `CouldNotRun` before kernels are fetched
    return replace(
        request,
        kernels=request.kernels or selection.quick(say, check=check),
        profiles=request.profiles or selection.QUICK_PROFILES,
        ids=request.ids or quick_set.names(),
    )
