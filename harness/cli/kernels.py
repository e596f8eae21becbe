"""`worldswitch kernels`: which kernels there are, and how they are had."""

from __future__ import annotations

import argparse

from worldswitch.harness.cli import options
from worldswitch.harness.report.console import console

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
    compared = what.add_parser("diff", help="tell how two kernels differ: probes, behaviour, verdicts")
    compared.add_argument("one", metavar="A", help="6.12")
    compared.add_argument("other", metavar="B", help="7.3")
    compared.add_argument(
        "--run", default="", metavar="RUN", help="as this run met them (default: the newest that did, or a new one)"
    )
    options.results(compared)


def main(asked: argparse.Namespace) -> int:
    """Do it."""
    from worldswitch.harness.report.kernels import compare, listing

    out = console()
    if asked.what == "list":
        return listing.show(out, as_json=asked.json)
    if asked.what == "fetch":
        return listing.fetch(asked.names, out, as_json=asked.json)
    return compare.compare(asked.one, asked.other, asked.run, asked.results, out)
