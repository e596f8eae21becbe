"""The command line of `worldswitch`: parses the arguments and calls a command of `worldswitch.harness.cli`."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import traceback
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
    options,
    profile,
    profiles,
    report,
    repro,
    run,
)
from worldswitch.harness.cli import list as list_
from worldswitch.harness.errors import CouldNotRun, Unobtainable
from worldswitch.harness.expectations.outcome import Status
from worldswitch.harness.linux import limits, startup

SUMMARY = "Can a ptrace sandbox run here, does it behave, and what does each world switch cost?"

STATUSES = """\
exit status:
  0  everything ran, and every result was as expected
  1  a result was not as expected: a failure, an unexpected pass, a stale rule,
     an invalid profile or filter
  2  nothing was unexpected, but something could not run: no container engine,
     invalid arguments, an interrupted run; the message says what to do
  70 a defect of this program: report the message
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
    startup.prepare(keep=startup.KEPT)
    before = signal.signal(signal.SIGTERM, _interrupt)
    name = ""
    try:
        if problem := startup.problem():
            raise CouldNotRun(problem)
        arguments = _parser().parse_args(argv)
        name = f" {arguments.name}"
        command: Command = arguments.command
        status = command.main(arguments)
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        _discard_output()
        return 128 + signal.SIGPIPE
    except (CouldNotRun, Unobtainable) as refusal:
        print(f"worldswitch{name}: {refusal}", file=sys.stderr)
    except KeyboardInterrupt:
        print(f"worldswitch{name}: interrupted", file=sys.stderr)
    except Exception as error:
        return _unexpected(f"worldswitch{name}", error)
    finally:
        signal.signal(signal.SIGTERM, before)
    return Status.COULD_NOT_RUN


def _unexpected(program: str, error: Exception) -> int:
    """Report an exception that no command handles: a limit of this machine, or a defect of this program."""
    if limit := limits.exhausted(error):
        _discard_output()  # which may be what is full
        print(f"{program}: {limit}", file=sys.stderr)
        return Status.COULD_NOT_RUN
    said = " ".join(traceback.format_exception_only(error)).strip()
    print(f"{program}: internal error: {said}; report this line and the traceback below it", file=sys.stderr)
    traceback.print_exception(error)
    return os.EX_SOFTWARE


def _discard_output() -> None:
    """Direct standard output to /dev/null: the flush at exit must not raise again."""
    with contextlib.suppress(OSError, ValueError):  # it may be no file, or no descriptor may be left
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)


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

if __name__ == "__main__":
    sys.exit(main())
