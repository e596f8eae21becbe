"""`worldswitch matrix`: run every scenario but chaos in a container of every profile on every kernel."""

from __future__ import annotations

import argparse
import json
import shlex
from collections.abc import Sequence
from dataclasses import replace

from worldswitch.harness.cli import options, run
from worldswitch.harness.report.progress import Detail
from worldswitch.harness.run.request import Request

ABOUT = "run the scenarios on many kernels, in a container of each profile"


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
    options.results(parser)
    split = parser.add_argument_group("on several machines")
    split.add_argument(
        "--shard",
        dest="part",
        type=_shard,
        metavar="K/N",
        help="run only this part of the cells, as in 2/5; with the same options everywhere, each cell is in one part",
    )
    split.add_argument(
        "--list-json",
        action="store_true",
        help="print the cells as the matrix of a job, for fromJson of GitHub Actions, and run nothing",
    )
    run.how_to_print(parser)
    parser.set_defaults(chaos=False, engine="docker")


def main(arguments: argparse.Namespace) -> int:
    """Run the matrix, and print the outcome as a table."""
    from worldswitch.harness.catalogue import quick_set
    from worldswitch.harness.environments.kernels import selection
    from worldswitch.harness.run import shards

    request = options.request(arguments)
    apart = arguments.list_json or arguments.part  # what is available here does not decide what others run
    say = _silent if arguments.detail is Detail.QUIET or arguments.list_json else print
    if arguments.quick:
        say("choosing the kernels of a quick matrix ...")
        request = replace(
            request,
            kernels=request.kernels or selection.quick(say, check=not apart),
            profiles=request.profiles or selection.QUICK_PROFILES,
            ids=request.ids or quick_set.names(),
        )
    request = replace(request, kernels=request.kernels or selection.names())
    if arguments.list_json:
        return _list(request, quick=arguments.quick, ids=arguments.ids)
    if arguments.part:
        request = shards.shard(request, arguments.part)
        say(f"shard {arguments.part}: {len(request.cells)} of {len(request.whole)} cells, seed {request.seed}")
    return run.carry_out(request, arguments.results, arguments.name, arguments.detail, as_matrix=True)


def _list(request: Request, *, quick: bool, ids: Sequence[str]) -> int:
    """Print the cells, and for each the options of `worldswitch matrix` that run it alone."""
    from worldswitch.harness.run import shards

    common = ["--quick"] if quick else []
    common += [word for name in ids for word in ("--id", name)]
    common += ["--repeat", request.repeat, "--seed", str(request.seed)]
    common += ["--deadline", f"{request.deadline:g}"] if request.deadline else []
    jobs = [{"name": name, "arguments": shlex.join([*options, *common])} for name, options in shards.jobs(request)]
    print(json.dumps({"include": jobs}))
    return 0


def _shard(text: str) -> str:
    from worldswitch.harness.run import shards

    try:
        shards.parse(text)
    except ValueError as problem:
        raise argparse.ArgumentTypeError(str(problem)) from problem
    return text


def _silent(line: str) -> None:
    """Print nothing."""
