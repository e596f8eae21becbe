"""The command line of `worldswitch`: parses the arguments and calls a command of `worldswitch.harness.cli`."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType

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
from worldswitch.harness.cli.machines import merge
from worldswitch.harness.cli.parsing import completion, statuses
from worldswitch.harness.cli.parsing.parser import Parser
from worldswitch.harness.cli.parsing.version import Version
from worldswitch.harness.errors import CouldNotRun, Unobtainable
from worldswitch.harness.expectations.outcome import Status
from worldswitch.harness.legible import legible
from worldswitch.harness.linux import defects, limits, startup

SUMMARY = "Can a ptrace sandbox run here, does it behave, and what does each world switch cost?"

EXAMPLES = """
worldswitch doctor                            # what can run here
worldswitch run --engine host -k interrupt    # some scenarios, on the host only
worldswitch run --profile hardened            # all of them, in one container
worldswitch run --platform package.module:Class
worldswitch list scenarios -k vsyscall        # what there is to name
worldswitch explain TRIAL                     # one trial of the last run
worldswitch bench --quick                     # what a switch costs here
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command that `argv` (by default the process's own) names; returns the exit status."""
    startup.prepare(keep=startup.KEPT)
    before = signal.signal(signal.SIGTERM, _interrupt)
    name = ""
    try:
        if problem := startup.problem():
            raise CouldNotRun(problem)
        parser = _parser()
        completion.answer(parser)
        arguments = parser.parse_args(argv)
        arguments.argv = tuple(sys.argv[1:] if argv is None else argv)
        name = f" {arguments.name}"
        command: Command = arguments.command
        status = command.main(arguments)
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        _discard_output()
        return 128 + signal.SIGPIPE
    except (CouldNotRun, Unobtainable) as refusal:
        print(f"worldswitch{name}: {legible(str(refusal))}", file=sys.stderr)
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
    return defects.report(f"{program}: ", error)


def _discard_output() -> None:
    """Direct standard output to /dev/null: the flush at exit must not raise again."""
    with contextlib.suppress(OSError, ValueError):  # it may be no file, or no descriptor may be left
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)


def _interrupt(signo: int, frame: FrameType | None) -> None:
    """Treat SIGTERM, by which CI systems cancel a job, like Ctrl-C, so that containers and machines are removed."""
    raise KeyboardInterrupt


def _parser() -> Parser:
    parser = Parser(prog="worldswitch", description=SUMMARY, examples=EXAMPLES, statuses=statuses.ANY)
    parser.add_argument("--version", action=Version, help="print the version, and the commit of a checkout")
    commands = parser.add_subparsers(metavar="COMMAND", required=True, dest="name")
    for command in _COMMANDS:
        name = command.__name__.rpartition(".")[2]
        subparser = options.subcommand(commands, name, command.ABOUT, command.STATUSES, command.EXAMPLES)
        subparser.set_defaults(command=command)
        command.add_options(subparser)
    return parser


#: In the order of the help text; a command has the name of its module.
_COMMANDS = (
    run,
    matrix,
    report,
    diff,
    merge,
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
    completion,
)

if __name__ == "__main__":
    sys.exit(main())
