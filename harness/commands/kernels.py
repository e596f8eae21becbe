"""`worldswitch kernels`: which kernels there are, and how they are had."""

from __future__ import annotations

import argparse

from worldswitch.harness.commands import options

ABOUT = "list the kernels of the matrix, fetch them, or tell how two of them differ"


def add_options(parser: argparse.ArgumentParser) -> None:
    """What to do with which."""
    what = parser.add_subparsers(metavar="WHAT", required=True, dest="what")
    listed = what.add_parser("list", help="the list, and what of it is kept on this machine")
    options.json(listed)
    fetched = what.add_parser("fetch", help="fetch kernels from the Debian mirror, and say exactly what came")
    fetched.add_argument(
        "names", nargs="*", metavar="NAME", help="6.12, 6.12.94+deb13, or a path to a bzImage (default: the whole list)"
    )
    options.json(fetched)


def main(asked: argparse.Namespace) -> int:
    """Do it."""
    from worldswitch.harness import report
    from worldswitch.harness.kernels import listing
    from worldswitch.harness.kernels.manifest import ManifestError
    from worldswitch.harness.request import CouldNotRun

    out = report.console()
    try:
        if asked.what == "list":
            return listing.show(out, as_json=asked.json)
        return listing.fetch(asked.names, out, as_json=asked.json)
    except ManifestError as problem:
        raise CouldNotRun(str(problem)) from problem
