"""What the exit statuses of commands mean, where several commands share the words."""

from __future__ import annotations

#: Status 2 of a command that only reads.
BAD_INPUT = "invalid arguments, or a file that is missing or damaged; the message names it"

#: Of all commands, in general.
ANY = {
    0: "as expected",
    1: "not as expected: a verdict, a slower benchmark, an invalid file",
    2: "could not run, or invalid arguments; `worldswitch COMMAND --help` has each command's own",
    70: "a defect of this program: report the message",
}

#: Of a command that runs scenarios.
RUN = {
    0: "everything ran, and every verdict was expected",
    1: "a verdict was not expected: a failure, an unexpected pass; or a rule is out of date",
    2: "no verdict was unexpected, but something could not run: no container engine, invalid arguments, an "
    "interrupted run; the message says what to do",
}

#: Of a command that prints what it was asked for.
READ = {0: "printed or written", 2: BAD_INPUT}
