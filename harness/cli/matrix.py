"""`worldswitch matrix`: every kernel, in it every profile, in that every scenario without chaos."""

from __future__ import annotations

import argparse
from dataclasses import replace

from worldswitch.harness.cli import options

ABOUT = "put a platform through the scenarios on many kernels, in a container per profile"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Which, how, and where results go."""
    parser.add_argument(
        "--quick",
        action="store_true",
        help="three kernels, three profiles, and the scenarios that say most about a kernel",
    )
    where = parser.add_argument_group("which part of it")
    where.add_argument(
        "--kernel",
        **options.MANY,
        dest="kernels",
        metavar="NAME",
        help="only this kernel: 6.12, 6.12.94+deb13, or a path to a bzImage; repeatable (default: the whole list)",
    )
    where.add_argument(
        "--profile",
        **options.MANY,
        dest="profiles",
        metavar="NAME",
        help="only in the container of this profile, this file's, or all; repeatable (default: the usual ones)",
    )
    options.ids(where)
    options.manner(parser, repeat="quick")
    options.results(parser)
    parser.set_defaults(chaos=False, engine="docker")


def main(asked: argparse.Namespace) -> int:
    """Run it, and show what came of it."""
    from worldswitch.harness.catalogue import quick_set
    from worldswitch.harness.cli import run
    from worldswitch.harness.environments.kernels import selection

    request = options.request(asked)
    if asked.quick:
        request = replace(
            request,
            kernels=request.kernels or selection.quick(print),
            profiles=request.profiles or selection.QUICK_PROFILES,
            ids=request.ids or quick_set.names(),
        )
    request = replace(request, kernels=request.kernels or selection.names())
    return run.carry_out(request, asked.results, asked.name, as_matrix=True)
