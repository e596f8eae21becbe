"""`worldswitch profile`: check profiles and filters, write one after a deployment, record what a filter must allow."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path

from worldswitch.harness.cli import options

ABOUT = (
    "check your own profile or seccomp filter, write a profile after a container that you have, or record the system "
    "calls that a filter must allow"
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the subcommands `check`, `from` and `record`."""
    what = parser.add_subparsers(metavar="WHAT", required=True, dest="what")
    checked = options.subcommand(what, "check", "check that profiles (.toml) and filters (.json) are valid")
    checked.add_argument("files", nargs="+", type=Path, metavar="FILE", help="a profile or a seccomp filter")
    _add_from(options.subcommand(what, "from", "write a profile of what a container may do"))
    recorded = options.subcommand(what, "record", "run scenarios here, and compare their system calls with a filter")
    recorded.add_argument(
        "--filter",
        default="hardened.json",
        metavar="NAME",
        help="a filter of the package, or a file's path (default: %(default)s)",
    )
    options.ids(recorded)
    options.json(recorded)


def _add_from(made: argparse.ArgumentParser) -> None:
    made.add_argument(
        "source",
        metavar="SOURCE",
        help="a container of the running engine, or a file: output of `docker inspect`, a pod or workload of "
        "Kubernetes, a compose file, a runtime's config.json",
    )
    made.add_argument(
        "--name",
        type=_name,
        dest="called",
        metavar="NAME",
        help="name of the profile (default: the container's)",
    )
    made.add_argument("-o", type=Path, default=Path(), dest="folder", metavar="DIR", help="folder (default: this one)")
    choice = made.add_mutually_exclusive_group()
    choice.add_argument("--container", default="", metavar="NAME", help="one of the source's containers")
    choice.add_argument("--service", dest="container", default="", metavar="NAME", help="one of the source's services")


def _name(text: str) -> str:
    from worldswitch.harness.environments.deployments.write import NAME

    if NAME.fullmatch(text):
        return text
    raise argparse.ArgumentTypeError(f"expected lower-case letters, digits and hyphens, got {text!r}")


def main(arguments: argparse.Namespace) -> int:
    """Run the subcommand; returns its exit status."""
    if arguments.what == "from":
        return _write(arguments)
    from worldswitch.harness.report import profile_check
    from worldswitch.harness.run.syscall_record import compare

    if arguments.what == "check":
        return profile_check.show(arguments.files)
    return compare.show(arguments.ids, arguments.filter, as_json=arguments.json, say=_say)


def _write(arguments: argparse.Namespace) -> int:
    from worldswitch.harness.environments.deployments import source, write

    draft = source.draft(arguments.source, arguments.container)
    files = write.write(draft, arguments.called or write.name_of(draft), arguments.folder)
    for one in draft.lost:
        print(f"not in the profile: {one}", file=sys.stderr)
    for file in files:
        print(file)
    print(f"run it: worldswitch run --profile {shlex.quote(str(files[0]))}")
    return 0


def _say(line: str) -> None:
    print(f"{line} ...", file=sys.stderr, flush=True)
