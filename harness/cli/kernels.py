"""`worldswitch kernels`: list, fetch and compare kernels."""

from __future__ import annotations

import argparse

from worldswitch.harness.cli import options
from worldswitch.harness.cli.parsing import completers
from worldswitch.harness.cli.parsing.completers import completed_by
from worldswitch.harness.report.console import console

ABOUT = "list the kernels of the matrix, fetch them, or show how two of them differ"
STATUSES = {0: "listed, fetched or compared", 2: "a kernel is unknown, or cannot be fetched or booted"}
EXAMPLES = """
worldswitch kernels list
worldswitch kernels fetch 6.12
worldswitch kernels diff 6.12 7.3
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the subcommands `list`, `fetch` and `diff`."""
    what = parser.add_subparsers(metavar="WHAT", required=True, dest="what")
    listed = options.subcommand(what, "list", "list the kernels, and which of them are on this machine", {0: "listed"})
    options.json(listed)
    fetched = options.subcommand(
        what,
        "fetch",
        "fetch kernels from the Debian mirror, and print their exact versions",
        {0: "every kernel is here", 2: "a kernel is unknown (nothing is fetched then) or cannot be fetched"},
        "worldswitch kernels fetch 6.12 7.3",
    )
    names = fetched.add_argument(
        "names", nargs="*", metavar="NAME", help="6.12, 6.12.94+deb13, or a path to a bzImage (default: the whole list)"
    )
    completed_by(completers.kernels, names)
    options.json(fetched)
    compared = options.subcommand(
        what,
        "diff",
        "show how two kernels differ: probes, behaviour, verdicts",
        {0: "compared", 2: "a kernel is unknown, or cannot be fetched or booted; or the run does not have both"},
        "worldswitch kernels diff 6.12 7.3",
    )
    completed_by(completers.kernels, compared.add_argument("one", metavar="A", help="a kernel, such as 6.12"))
    completed_by(completers.kernels, compared.add_argument("other", metavar="B", help="the other kernel, such as 7.3"))
    compared.add_argument(
        "--run", default="", metavar="RUN", help="compare by this run (default: the newest with both, or a new run)"
    )
    options.results(compared)


def main(arguments: argparse.Namespace) -> int:
    """Run the subcommand; returns its exit status."""
    from worldswitch.harness.report.kernels import compare, listing

    out = console()
    if arguments.what == "list":
        return listing.show(out, as_json=arguments.json)
    if arguments.what == "fetch":
        return listing.fetch(arguments.names, out, as_json=arguments.json)
    return compare.compare(arguments.one, arguments.other, arguments.run, arguments.results, out)
