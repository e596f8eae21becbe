"""The command line of `worldswitch`: it understands what is asked; `worldswitch.harness.cli` do it."""

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
    mutants,
    profile,
    profiles,
    report,
    repro,
    run,
)
from worldswitch.harness.cli import list as list_
from worldswitch.harness.errors import CouldNotRun
from worldswitch.harness.expectations.outcome import Status

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
  worldswitch run                               on the host, and in a container per usual profile
  worldswitch run --engine host -k interrupt    some scenarios, on the host only
  worldswitch run --profile hardened            in one container
  worldswitch run --id TT01 --repeat soak       one catalogue entry, for long
  worldswitch run --platform package.module:Class
  worldswitch matrix --quick                    on three kernels, in containers
  worldswitch kernels diff 6.12 7.3             how two kernels differ
  worldswitch bisect KD3 --good 6.12 --bad 7.3
  worldswitch run --engine host --platform reference --platform seed
  worldswitch bench --quick                     what a switch costs here

"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; its exit status."""
    asked = _parser().parse_args(arguments)
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        command: Command = asked.command
        return command.main(asked)
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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="worldswitch", description=SUMMARY, epilog=EXAMPLES + STATUSES, **_RAW)
    commands = parser.add_subparsers(metavar="COMMAND", required=True, dest="name")
    for command in _COMMANDS:
        name = command.__name__.rpartition(".")[2].strip("_").replace("_", "-")
        sentence = f"{command.ABOUT[0].upper()}{command.ABOUT[1:]}."
        made = commands.add_parser(name, help=command.ABOUT, description=sentence, epilog=STATUSES, **_RAW)
        made.set_defaults(command=command)
        command.add_options(made)
    return parser


_RAW: Any = {"formatter_class": argparse.RawDescriptionHelpFormatter}

#: In the order in which people meet them; a command is called as its module is, which may end in an underscore.
_COMMANDS = (
    run,
    matrix,
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
