"""`worldswitch profile`: one's own profile or filter, checked; and what a filter must allow, recorded."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from worldswitch.harness.cli import options

ABOUT = "check a profile or filter of one's own, or record which system calls one must allow"


def add_options(parser: argparse.ArgumentParser) -> None:
    """What to do with which."""
    what = parser.add_subparsers(metavar="WHAT", required=True, dest="what")
    checked = what.add_parser("check", help="see whether profiles (.toml) and filters (.json) can be used")
    checked.add_argument("files", nargs="+", type=Path, metavar="FILE", help="a profile or a seccomp filter")
    recorded = what.add_parser("record", help="run scenarios on this host, and compare the calls they make to a filter")
    recorded.add_argument(
        "--filter",
        default="hardened.json",
        metavar="NAME",
        help="a filter of the package, or the path of one (default: %(default)s)",
    )
    options.ids(recorded)
    options.json(recorded)


def main(asked: argparse.Namespace) -> int:
    """Do it."""
    from worldswitch.harness.report import profile_check
    from worldswitch.harness.run.syscall_record import compare

    if asked.what == "check":
        return profile_check.show(asked.files)
    return compare.show(asked.ids, asked.filter, as_json=asked.json, say=_say)


def _say(line: str) -> None:
    print(f"{line} ...", file=sys.stderr, flush=True)
