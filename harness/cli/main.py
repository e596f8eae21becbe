"""The command line of `worldswitch`: parses the arguments and calls a command of `worldswitch.harness.cli`."""

from __future__ import annotations

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
from worldswitch.harness.errors import CouldNotRun
from worldswitch.harness.expectations.outcome import Status
from worldswitch.harness.report.legible import legible

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
    parser = _parser()
    completion.answer(parser)
    arguments = parser.parse_args(argv)
    arguments.words = tuple(sys.argv[1:] if argv is None else argv)
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
