"""`worldswitch profile`: check profiles and filters, and record the system calls that a filter must allow."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from worldswitch.harness.cli import options

ABOUT = "check your own profile or seccomp filter, or record the system calls that a filter must allow"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the subcommands `check` and `record`."""
    what = parser.add_subparsers(metavar="WHAT", required=True, dest="what")
    checked = options.subcommand(what, "check", "check that profiles (.toml) and filters (.json) are valid")
    checked.add_argument("files", nargs="+", type=Path, metavar="FILE", help="a profile or a seccomp filter")
    recorded = options.subcommand(what, "record", "run scenarios here, and compare their system calls with a filter")
    recorded.add_argument(
        "--filter",
        default="hardened.json",
        metavar="NAME",
        help="a filter of the package, or a file's path (default: %(default)s)",
    )
    recorded.add_argument(
        "--update",
        action="store_true",
        help="make anew the package's record of calls, and of what their denial does, from which `profile check` and "
        "`run` predict the effect of filters; needs root, and about half an hour",
    )
    options.ids(recorded)
    options.json(recorded)


def main(arguments: argparse.Namespace) -> int:
    """Run the subcommand; returns its exit status."""
    from worldswitch.harness.report import profile_check
    from worldswitch.harness.run.syscall_record import compare, update

    if arguments.what == "check":
        return profile_check.show(arguments.files)
    if arguments.update:
        print(update.update(_say))
        return 0
    return compare.show(arguments.ids, arguments.filter, as_json=arguments.json, say=_say)


def _say(line: str) -> None:
    print(f"{line} ...", file=sys.stderr, flush=True)
