"""`worldswitch profile`: check profiles and filters, and record the system calls that a filter must allow."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from worldswitch.harness.cli import options

ABOUT = "check your own profile or seccomp filter, or record the system calls that a filter must allow"
STATUSES = {
    0: "check: every file is valid; record: the filter names every call",
    1: "check: a file is invalid; record: the filter does not name a call that was made",
    2: "invalid arguments, or nothing could be recorded",
}
EXAMPLES = """
worldswitch profile check mine.toml mine.json
worldswitch profile record --filter ./mine.json --id 'SG*'
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the subcommands `check` and `record`."""
    what = parser.add_subparsers(metavar="WHAT", required=True, dest="what")
    checked = options.subcommand(
        what,
        "check",
        "check profiles (.toml) and seccomp filters (.json, .yaml)",
        {0: "every file is valid", 1: "a file is invalid", 2: "a file cannot be read, or invalid arguments"},
        "worldswitch profile check mine.toml mine.json",
    )
    checked.add_argument("files", nargs="+", type=Path, metavar="FILE", help="a profile or a seccomp filter")
    options.json(checked)
    recorded = options.subcommand(
        what,
        "record",
        "run scenarios here, and compare their system calls with a filter",
        {
            0: "the filter names every call",
            1: "it does not name a call that was made",
            2: "nothing could be recorded, or the filter is invalid",
        },
        "worldswitch profile record --filter ./mine.json --id 'SG*'",
    )
    recorded.add_argument(
        "--filter",
        default="hardened.json",
        metavar="NAME",
        help="a filter of the package, or a file's path (default: %(default)s)",
    )
    options.ids(recorded)
    options.json(recorded)


def main(arguments: argparse.Namespace) -> int:
    """Run the subcommand; returns its exit status."""
    from worldswitch.harness.report import profile_check
    from worldswitch.harness.run.syscall_record import compare

    if arguments.what == "check":
        return profile_check.show(arguments.files, as_json=arguments.json)
    return compare.show(arguments.ids, arguments.filter, as_json=arguments.json, say=_say)


def _say(line: str) -> None:
    print(f"{line} ...", file=sys.stderr, flush=True)
