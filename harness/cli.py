"""The command line, `worldswitch run | list | doctor | mutants`: it understands what is asked; others do it."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from types import FrameType
from typing import Any

from worldswitch.harness import seeds
from worldswitch.harness.cell_name import REFERENCE
from worldswitch.harness.outcome import Status, status
from worldswitch.harness.request import CouldNotRun, Request, cpus

SUMMARY = "Can a ptrace sandbox run here, does it behave, and what does each world switch cost?"

STATUSES = """\
exit status:
  0  all ran, and all was as expected
  1  something was not as expected; an unexpected pass counts
  2  nothing unexpected was seen, but something could not run: no container engine,
     wrong arguments, an interrupted run; the message says what to do
"""

EXAMPLES = """\
examples:
  worldswitch run                               on the host, and in a container per profile
  worldswitch run --engine host -k interrupt    some scenarios, on the host only
  worldswitch run --profile hardened            in one container
  worldswitch run --id TT01 --repeat soak       one catalogue entry, for long
  worldswitch run --platform package.module:Class
  worldswitch run --engine host --platform reference --platform seed

"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; its exit status."""
    asked = _parser().parse_args(arguments)
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        command: Callable[[argparse.Namespace], int] = asked.command
        return command(asked)
    except BrokenPipeError:
        # Whoever read the output has seen enough; what is still buffered must not complain at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except CouldNotRun as problem:
        print(f"worldswitch {asked.name}: {problem}", file=sys.stderr)
    except KeyboardInterrupt:
        print(f"worldswitch {asked.name}: interrupted", file=sys.stderr)
    finally:
        signal.signal(signal.SIGTERM, before)
    return Status.COULD_NOT_RUN


def _interrupt(signo: int, frame: FrameType | None) -> None:
    """Take SIGTERM, by which CI systems cancel a job, like Ctrl-C: what was started is ended."""
    raise KeyboardInterrupt


# -------------------------------------------------------------------------------------------------------- commands
# Each imports what it needs: `--help` and a wrong option answer at once.


def _run(asked: argparse.Namespace) -> int:
    from worldswitch.harness import report, runner

    request = _request(asked)
    scenarios = request.scenarios()
    out = report.console()
    with report.Progress(out, request) as progress:
        run = runner.Run(request, scenarios, runner.new_folder(asked.results), progress)
        run.go()
    report.summary(run.outcomes, run.folder, request.seed, out)
    if run.interrupted:
        raise KeyboardInterrupt
    return status(run.outcomes)


def _list(asked: argparse.Namespace) -> int:
    from worldswitch.harness import listing

    return listing.show(asked.ids, as_json=asked.json)


def _doctor(asked: argparse.Namespace) -> int:
    from worldswitch.harness import doctor

    return doctor.show(as_json=asked.json)


def _mutants(asked: argparse.Namespace) -> int:
    from worldswitch.harness import mutants

    return mutants.show(_request(asked), asked.mutants, full=asked.full, results=asked.results)


def _request(asked: argparse.Namespace) -> Request:
    said = {field.name: getattr(asked, field.name) for field in fields(Request) if field.name in asked}
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in said.items() if value != []
    }
    return Request(**values)


# --------------------------------------------------------------------------------------------------------- options


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="worldswitch", description=SUMMARY, epilog=EXAMPLES + STATUSES, **_RAW)
    commands = parser.add_subparsers(metavar="COMMAND", required=True, dest="name")
    for name, about, run, add_options in _COMMANDS:
        sentence = f"{about[0].upper()}{about[1:]}."
        command = commands.add_parser(name, help=about, description=sentence, epilog=STATUSES, **_RAW)
        command.set_defaults(command=run)
        add_options(command)
    return parser


def _run_options(parser: argparse.ArgumentParser) -> None:
    what = parser.add_argument_group("what to run")
    what.add_argument(
        "--platform",
        **_MANY,
        dest="platforms",
        metavar="NAME",
        help=f"an installed platform, or package.module:Class; repeatable: side by side (default: {REFERENCE})",
    )
    what.add_argument("-k", dest="keyword", default="", metavar="EXPRESSION", help="scenarios by name, as in pytest")
    what.add_argument(
        "--id", **_MANY, dest="ids", metavar="ID", help="by id or name: TT01, 'SG*', 'pool::*'; repeatable"
    )
    what.add_argument(
        "--no-chaos", dest="chaos", action="store_false", help="leave the scenarios out in which chaos reigns: CH*"
    )
    _place_options(parser, engine="auto")
    _manner_options(parser)
    parser.add_argument(
        "--results", type=Path, default=Path("results"), metavar="DIR", help="where results go (default: %(default)s)"
    )


def _mutants_options(parser: argparse.ArgumentParser) -> None:
    what = parser.add_argument_group("what to run")
    what.add_argument("mutants", nargs="*", metavar="NAME", help="only these mutants")
    what.add_argument(
        "--full",
        "--all",
        action="store_true",
        help="put each mutant to every scenario, not only to those it names and a random tenth of the others",
    )
    _place_options(parser, engine="host")
    _manner_options(parser, repeat="quick")
    parser.add_argument(
        "--results",
        type=Path,
        metavar="DIR",
        help="where the kill matrix goes (default: results; nowhere if only some mutants are named)",
    )


def _place_options(parser: argparse.ArgumentParser, engine: str) -> None:
    where = parser.add_argument_group("where to run it")
    where.add_argument(
        "--engine",
        choices=("auto", "host", "docker"),
        default=engine,
        help="auto: on the host, and in a container per profile; host, docker: only there (default: %(default)s)",
    )
    where.add_argument(
        "--profile",
        **_MANY,
        dest="profiles",
        metavar="NAME",
        help="only in the container of this profile, or of this file's; repeatable",
    )
    where.add_argument(
        "--install-engine",
        action="store_true",
        help="if there is no container engine, install docker.io with apt-get; takes root",
    )


def _manner_options(parser: argparse.ArgumentParser, repeat: str = "") -> None:
    how = parser.add_argument_group("how to run it")
    how.add_argument(
        "--repeat",
        choices=("quick", "normal", "soak"),
        default=repeat,
        help="how often scenarios repeat what they repeat "
        f"(default: {repeat or 'normal on the host, quick in containers'})",
    )
    how.add_argument(
        "--seed",
        type=seeds.number,
        default=seeds.draw(),
        metavar="N",
        help="repeat the random choices of the run with this seed (default: another each time)",
    )
    how.add_argument(
        "--deadline", type=_seconds, metavar="SECONDS", help="end any trial after so long, whatever its own deadline"
    )
    how.add_argument(
        "-n", dest="workers", type=_workers, default=cpus(), metavar="N", help="trials at a time (default: %(default)s)"
    )


def _list_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--id", **_MANY, dest="ids", metavar="ID", help="by id or name: TT01, 'SG*', 'pool::*'; repeatable"
    )
    _doctor_options(parser)


def _doctor_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON, for programs")


def _seconds(text: str) -> float:
    with contextlib.suppress(ValueError):
        if 0 < (value := float(text)) < float("inf"):
            return value
    raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds above 0")


def _workers(text: str) -> int:
    if text.isdecimal() and int(text) > 0:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no number of trials, 1 or more")


_RAW: Any = {"formatter_class": argparse.RawDescriptionHelpFormatter}
_MANY: Any = {"action": "append", "default": []}

#: Name, what it does, by which function, and which function adds its options.
_COMMANDS = (
    ("run", "put a platform through the scenarios", _run, _run_options),
    ("list", "list the scenarios with their claims, and the profiles, platforms and mutants", _list, _list_options),
    ("doctor", "say what can run here, what cannot, why, and the command that enables it", _doctor, _doctor_options),
    ("mutants", "check that each known-bad platform is caught by the scenarios it names", _mutants, _mutants_options),
)
