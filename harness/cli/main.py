"""The command line of `worldswitch`: parses the arguments and calls a command of `worldswitch.harness.cli`."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import Any

from worldswitch.harness.cli import (
    Command,
    baseline,
    bench,
    bisect,
    diff,
    doctor,
    expect,
    explain,
    export,
    kernels,
    matrix,
    merge,
    mutants,
    options,
    profile,
    profiles,
    report,
    repro,
    run,
)
from worldswitch.harness.cli import list as list_
from worldswitch.harness.errors import CouldNotRun
from worldswitch.harness.expectations.outcome import Status
from worldswitch.harness.report.legible import legible

SUMMARY = "Can a ptrace sandbox run here, does it behave, and what does each world switch cost?"

STATUSES = """\
exit status:
  0  everything ran, and every result was as expected
  1  a result was not as expected: a failure, an unexpected pass, a stale rule,
     an invalid profile or filter
  2  nothing was unexpected, but something could not run: no container engine,
     invalid arguments, an interrupted run; the message says what to do
"""

EXAMPLES = """\
examples:
  worldswitch run                               on the host, and in a container of each usual profile
  worldswitch run --engine host -k interrupt    some scenarios, on the host only
  worldswitch run --profile hardened            in one container
  worldswitch run --id TT01 --repeat soak       one scenario, with many repetitions
  worldswitch run --platform package.module:Class
  worldswitch matrix --quick                    on three kernels, in containers
  worldswitch kernels diff 6.12 7.3             how two kernels differ
  worldswitch bisect KD3 --good 6.12 --bad 7.3
  worldswitch run --engine host --platform reference --platform seed
  worldswitch bench --quick                     what a switch costs here

"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command that `argv` (by default the process's own) names; returns the exit status."""
    arguments = _parser().parse_args(argv)
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        command: Command = arguments.command
        return command.main(arguments)
    except BrokenPipeError:
        # The reader of the output has closed the pipe; the flush at exit must not raise again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except CouldNotRun as problem:
        print(f"worldswitch {arguments.name}: {legible(str(problem))}", file=sys.stderr)
    except KeyboardInterrupt:
        print(f"worldswitch {arguments.name}: interrupted", file=sys.stderr)
    finally:
        signal.signal(signal.SIGTERM, before)
    return Status.COULD_NOT_RUN


def _interrupt(signo: int, frame: FrameType | None) -> None:
    """Treat SIGTERM, by which CI systems cancel a job, like Ctrl-C, so that containers and machines are removed."""
    raise KeyboardInterrupt


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="worldswitch", description=SUMMARY, epilog=EXAMPLES + STATUSES, **_RAW)
    commands = parser.add_subparsers(metavar="COMMAND", required=True, dest="name")
    for command in _COMMANDS:
        name = command.__name__.rpartition(".")[2]
        subparser = options.subcommand(commands, name, command.ABOUT, epilog=STATUSES, **_RAW)
        subparser.set_defaults(command=command)
        command.add_options(subparser)
    return parser


_RAW: Any = {"formatter_class": argparse.RawDescriptionHelpFormatter}

#: In the order of the help text; a command has the name of its module.
_COMMANDS = (
    run,
    matrix,
    merge,
    report,
    diff,
    baseline,
    export,
    explain,
    repro,
    profiles,
    profile,
    kernels,
    bisect,
    expect,
    list_,
    doctor,
    mutants,
    bench,
)
