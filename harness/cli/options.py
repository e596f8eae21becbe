"""The options that several commands share, and the request made from them."""

from __future__ import annotations

import argparse
import contextlib
import os
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from worldswitch.harness.cell import seeds
from worldswitch.harness.cli.parsing import completers
from worldswitch.harness.cli.parsing.completers import completed_by
from worldswitch.harness.cli.parsing.parser import Parser

if TYPE_CHECKING:
    from worldswitch.harness.run.request import Request
    from worldswitch.harness.run.sharding import Shard

MOST_WORKERS = 1024  #: each is a process

MANY: Any = {"action": "append", "default": []}  #: an option that may be given more than once


def request(arguments: argparse.Namespace) -> Request:
    """Return the request; a field without an option, or with an empty list, has its default."""
    from worldswitch.harness.run.request import Request

    given = {field.name: getattr(arguments, field.name) for field in fields(Request) if field.name in arguments}
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in given.items() if value != []
    }
    return Request(**values)


def where_to_run(parser: argparse.ArgumentParser, engine: str) -> None:
    """Add the options for where to run; `engine` is the default engine."""
    where = parser.add_argument_group("where to run")
    where.add_argument(
        "--engine",
        choices=("auto", "host", "docker", "oci"),
        default=engine,
        help="auto: on the host, and in a container of each usual profile; host: on the host only; docker: in Docker "
        "containers only; oci: in containers made by runc or crun, without an engine (default: %(default)s)",
    )
    profiles(where)
    _kernels(where)
    where.add_argument(
        "--install-engine",
        action="store_true",
        help="if there is no container engine, install docker.io (oci: runc) with apt-get; needs root",
    )


def profiles(group: argparse._ArgumentGroup, where: str = "only") -> None:
    """Add `--profile`."""
    option = group.add_argument(
        "--profile",
        **MANY,
        dest="profiles",
        metavar="NAME",
        help=f"{where} in a container of this profile: a name, the path of a profile or filter, or all; repeatable "
        "(default: the usual ones)",
    )
    completed_by(completers.profiles, option)


def _kernels(group: argparse._ArgumentGroup) -> None:
    option = group.add_argument(
        "--kernel",
        **MANY,
        dest="kernels",
        metavar="NAME",
        help="in a virtual machine with this kernel: a name (see `worldswitch kernels list`) or the path of a bzImage; "
        "runs as root of the machine, and in a container of each profile (--engine host: as root only); repeatable",
    )
    completed_by(completers.kernels, option)


def how_to_run(parser: argparse.ArgumentParser, repeat: str = "") -> None:
    """Add the options for how to run; `repeat` is the default count, if it is the same everywhere."""
    how = parser.add_argument_group("how to run")
    how.add_argument(
        "--repeat",
        choices=("quick", "normal", "soak"),
        default=repeat,
        help="how many repetitions each scenario makes "
        f"(default: {repeat or 'normal on the host, quick in containers'})",
    )
    seed(how)
    how.add_argument("--deadline", type=_seconds, metavar="SECONDS", help="upper limit for the deadline of each trial")
    how.add_argument(
        "-n",
        dest="workers",
        type=_workers,
        default=len(os.sched_getaffinity(0)),
        metavar="N",
        help="trials at a time (default: %(default)s)",
    )


def many_machines(parser: argparse.ArgumentParser) -> None:
    """Add the options that split a run among machines."""
    how = parser.add_argument_group("many machines")
    how.add_argument(
        "--shard",
        type=_shard,
        metavar="I/N",
        help="run only the I-th of N parts; `worldswitch merge` makes one run of all parts",
    )
    how.add_argument(
        "--list-json",
        action="store_true",
        help="run nothing; print the cells and the arguments that select each, for the job matrix of a CI system",
    )
    how.add_argument(
        "--dask",
        default="",
        metavar="SCHEDULER",
        help="run each cell on a worker of this dask.distributed scheduler (tcp://HOST:8786), and merge them here",
    )


def subcommand(
    commands: Any, name: str, about: str, statuses: Mapping[int, str], examples: str = "", **more: Any
) -> Parser:
    """Add a subcommand with `about` as its help and, as a sentence, its description."""
    parser: Parser = commands.add_parser(
        name, help=about, description=f"{about[0].upper()}{about[1:]}.", statuses=statuses, examples=examples, **more
    )
    return parser


def ids(parser: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:
    """Add `--id`."""
    option = parser.add_argument(
        "--id", **MANY, dest="ids", metavar="ID", help="scenarios by id or name: TT01, 'SG*', 'pool::*'; repeatable"
    )
    completed_by(completers.scenarios, option)


def keyword(parser: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:
    """Add `-k`."""
    parser.add_argument(
        "-k", dest="keyword", default="", metavar="EXPRESSION", help="scenarios by a pytest keyword expression"
    )


def run_folder(parser: argparse.ArgumentParser) -> None:
    """Add the argument RUN."""
    argument = parser.add_argument(
        "run",
        nargs="?",
        default="last",
        metavar="RUN",
        help="a run's folder, its name in results, or baseline (default: last, the last run in which anything ran)",
    )
    completed_by(completers.runs, argument)


def json(parser: argparse.ArgumentParser) -> None:
    """Add `--json`."""
    parser.add_argument("--json", action="store_true", help="print JSON")


def results(parser: argparse.ArgumentParser) -> None:
    """Add `--results`."""
    parser.add_argument(
        "--results", type=Path, default=Path("results"), metavar="DIR", help="folder of the runs (default: %(default)s)"
    )


def seed(parser: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:
    """Add `--seed`; the default is drawn anew for each process."""
    parser.add_argument(
        "--seed",
        type=seeds.number,
        default=seeds.draw(),
        metavar="N",
        help="make the random choices of the run with this seed again (default: a new seed)",
    )


def count(text: str) -> int:
    """Return `text` as an integer ≥ 1."""
    if text.isdecimal() and int(text) > 0:
        return int(text)
    raise argparse.ArgumentTypeError(f"expected an integer ≥ 1, got {text!r}")


def _shard(text: str) -> Shard:
    from worldswitch.harness.run import sharding

    try:
        return sharding.parse(text)
    except ValueError as problem:
        raise argparse.ArgumentTypeError(str(problem)) from problem


def _workers(text: str) -> int:
    if text.isdecimal() and 0 < int(text) <= MOST_WORKERS:
        return int(text)
    raise argparse.ArgumentTypeError(f"expected an integer from 1 to {MOST_WORKERS}, got {text!r}")


def _seconds(text: str) -> float:
    with contextlib.suppress(ValueError):
        if 0 < (value := float(text)) < float("inf"):
            return value
    raise argparse.ArgumentTypeError(f"expected a number of seconds > 0, got {text!r}")
