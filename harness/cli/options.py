"""The options that several commands share, and the request that they amount to."""

from __future__ import annotations

import argparse
import contextlib
from dataclasses import fields
from pathlib import Path
from typing import Any

from worldswitch.harness.cell import seeds
from worldswitch.harness.run.request import Request, cpus

MANY: Any = {"action": "append", "default": []}  #: an option that may be given more than once


def request(asked: argparse.Namespace) -> Request:
    """What is asked for, with the defaults for all that is not said."""
    said = {field.name: getattr(asked, field.name) for field in fields(Request) if field.name in asked}
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in said.items() if value != []
    }
    return Request(**values)


def place(parser: argparse.ArgumentParser, engine: str) -> None:
    """Where to run."""
    where = parser.add_argument_group("where to run it")
    where.add_argument(
        "--engine",
        choices=("auto", "host", "docker", "oci"),
        default=engine,
        help="auto: on the host, and in an engine's container per usual profile; host, docker: only there; "
        "oci: in containers that runc or crun makes, without an engine (default: %(default)s)",
    )
    where.add_argument(
        "--profile",
        **MANY,
        dest="profiles",
        metavar="NAME",
        help="only in the container of this profile, this file's, or all; repeatable (default: the usual ones)",
    )
    where.add_argument(
        "--kernel",
        **MANY,
        dest="kernels",
        metavar="NAME",
        help="in a virtual machine with this kernel, by name (`worldswitch kernels`) or by the path of a bzImage: the "
        "suite as its root, and in a container of each profile; --engine host: the first only; repeatable",
    )
    where.add_argument(
        "--install-engine",
        action="store_true",
        help="if there is no container engine, install docker.io with apt-get, or for oci runc; takes root",
    )


def manner(parser: argparse.ArgumentParser, repeat: str = "") -> None:
    """How to run."""
    how = parser.add_argument_group("how to run it")
    how.add_argument(
        "--repeat",
        choices=("quick", "normal", "soak"),
        default=repeat,
        help="how often scenarios repeat what they repeat "
        f"(default: {repeat or 'normal on the host, quick in containers'})",
    )
    seed(how)
    how.add_argument(
        "--deadline", type=_seconds, metavar="SECONDS", help="end any trial after so long, whatever its own deadline"
    )
    how.add_argument(
        "-n", dest="workers", type=_workers, default=cpus(), metavar="N", help="trials at a time (default: %(default)s)"
    )


def ids(parser: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:
    """Which scenarios."""
    parser.add_argument(
        "--id", **MANY, dest="ids", metavar="ID", help="by id or name: TT01, 'SG*', 'pool::*'; repeatable"
    )


def run_folder(parser: argparse.ArgumentParser) -> None:
    """Which run."""
    parser.add_argument(
        "run",
        nargs="?",
        default="last",
        metavar="RUN",
        help="a run's folder, or its name in results (default: the last one there)",
    )


def json(parser: argparse.ArgumentParser) -> None:
    """For programs."""
    parser.add_argument("--json", action="store_true", help="print JSON, for programs")


def results(parser: argparse.ArgumentParser) -> None:
    """Where a run leaves its folder."""
    parser.add_argument(
        "--results", type=Path, default=Path("results"), metavar="DIR", help="where results go (default: %(default)s)"
    )


def seed(parser: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:
    """What all that is random is drawn from."""
    parser.add_argument(
        "--seed",
        type=seeds.number,
        default=seeds.draw(),
        metavar="N",
        help="repeat the random choices of the run with this seed (default: another each time)",
    )


def count(text: str) -> int:
    """A number of times."""
    if text.isdecimal() and int(text) > 0:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no number of times, 1 or more")


def _seconds(text: str) -> float:
    with contextlib.suppress(ValueError):
        if 0 < (value := float(text)) < float("inf"):
            return value
    raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds above 0")


def _workers(text: str) -> int:
    if text.isdecimal() and int(text) > 0:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no number of trials, 1 or more")
