"""`worldswitch run`: run the scenarios against a platform."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from worldswitch.harness.cell import seeds
from worldswitch.harness.cell_name import REFERENCE
from worldswitch.harness.cli import options
from worldswitch.harness.cli.parsing import completers, statuses
from worldswitch.harness.cli.parsing.completers import completed_by
from worldswitch.harness.errors import CouldNotRun
from worldswitch.harness.report.console import console
from worldswitch.harness.report.progress import Detail, Progress
from worldswitch.harness.results.writer import new_folder
from worldswitch.harness.run.request import Request

ABOUT = "run the scenarios against a platform"
STATUSES = statuses.RUN
EXAMPLES = """
worldswitch run                                 # on the host, and in a container of each usual profile
worldswitch run --engine host -k 'signal and not vsyscall'
worldswitch run --profile hardened              # in one container
worldswitch run --id TT01 --repeat soak         # one scenario, with many repetitions
worldswitch run --kernel 6.12 --engine host     # in a virtual machine
worldswitch run --engine host --platform reference --platform seed
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options: what to run, where, how, and the results' folder."""
    what = parser.add_argument_group("what to run")
    platform = what.add_argument(
        "--platform",
        **options.MANY,
        dest="platforms",
        metavar="NAME",
        help="an installed platform, package.module:Class, or mutant:NAME; repeatable, to compare platforms "
        f"(default: {REFERENCE})",
    )
    completed_by(completers.platforms, platform)
    options.keyword(what)
    options.ids(what)
    what.add_argument("--no-chaos", dest="chaos", action="store_false", help="exclude the chaos scenarios (CH*)")
    what.add_argument(
        "--rules",
        **options.MANY,
        metavar="FILE",
        help="a file of your own rules of expected verdicts, which take precedence over all others (see `worldswitch "
        "expect`); repeatable",
    )
    options.where_to_run(parser, engine="auto")
    options.how_to_run(parser)
    options.many_machines(parser)
    options.results(parser)
    parser.set_defaults(seed=None)  # so that --lf sees whether one is given
    how_to_print(parser).add_argument(
        "--lf",
        action="store_true",
        help="repeat only the unexpected trials of the last run, in the same environments and with the same seed",
    )


def how_to_print(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """Add the options for when a run ends, and for what it prints; returns their group."""
    group = parser.add_argument_group("as in pytest")
    stop = group.add_mutually_exclusive_group()
    stop.add_argument(
        "-x", dest="maxfail", action="store_const", const=1, default=0, help="stop at the first unexpected verdict"
    )
    stop.add_argument("--maxfail", type=options.count, metavar="N", help="stop after N unexpected verdicts")
    detail = group.add_mutually_exclusive_group()
    detail.add_argument(
        "-q",
        dest="detail",
        action="store_const",
        const=Detail.QUIET,
        default=Detail.CAUSES,
        help="print the counts only",
    )
    detail.add_argument("-v", dest="detail", action="store_const", const=Detail.TRIALS, help="print each trial")
    return group


def main(arguments: argparse.Namespace) -> int:
    """Run the scenarios, and print the outcome."""
    if arguments.lf:
        return _last_failed(arguments)
    request = options.request(arguments)
    request = request if arguments.seed is not None else replace(request, seed=seeds.draw())
    return distribute(replace(request, all_facts=request.is_whole), arguments)


def distribute(request: Request, arguments: argparse.Namespace, *, as_matrix: bool = False) -> int:
    """Run `request` here, or a shard of it, or all of it on the workers of a cluster; or print its cells."""
    from worldswitch.harness.run import sharding

    if arguments.list_json:
        from worldswitch.harness.report import job_list

        return job_list.show(request)
    if arguments.dask:
        from worldswitch.harness.cli.machines import dask

        return dask.main(request, arguments)
    request = sharding.part(request, arguments.shard) if arguments.shard else request
    return carry_out(request, arguments.results, arguments.name, arguments.detail, as_matrix=as_matrix)


def _last_failed(arguments: argparse.Namespace) -> int:
    """Repeat the unexpected trials of the last run, if there are any."""
    from worldswitch.harness.expectations.outcome import Status
    from worldswitch.harness.results import reader
    from worldswitch.harness.run import last_failed

    if given := _given(arguments):
        raise CouldNotRun(f"--lf repeats trials as they were in the last run; drop {', '.join(given)}")
    run = reader.read(reader.find("last", arguments.results))
    found = last_failed.repetition(run)
    missed = f"; {found.missed} of its trials never ran, and are not repeated" if found.missed else ""
    if found.request is None:
        print(f"nothing to repeat: no verdict of the last run, {run.folder}, was unexpected{missed}")
        return Status.COULD_NOT_RUN if found.missed else Status.AS_EXPECTED
    if arguments.detail is not Detail.QUIET:
        plural = "" if found.trials == 1 else "s"
        print(f"repeating {found.trials} unexpected trial{plural} of {run.folder}{missed}", flush=True)
    request = replace(found.request, maxfail=arguments.maxfail)
    return carry_out(request, arguments.results, arguments.name, arguments.detail)


def _given(arguments: argparse.Namespace) -> list[str]:
    """Return the given options that say what to run, where or how."""
    asked, default = options.request(arguments), Request()
    given = [option for name, option in _OPTIONS.items() if getattr(asked, name) != getattr(default, name)]
    others = {"--shard": arguments.shard, "--list-json": arguments.list_json, "--dask": arguments.dask}
    seed = [] if arguments.seed is None else ["--seed"]
    return [*given, *seed, *(option for option, value in others.items() if value)]


#: The option of each field of a request, but for the seed, whose default is drawn.
_OPTIONS = {
    "platforms": "--platform",
    "keyword": "-k",
    "ids": "--id",
    "chaos": "--no-chaos",
    "rules": "--rules",
    "engine": "--engine",
    "profiles": "--profile",
    "kernels": "--kernel",
    "install_engine": "--install-engine",
    "repeat": "--repeat",
    "deadline": "--deadline",
    "workers": "-n",
}


def carry_out(
    request: Request, results: Path, command: str, detail: Detail = Detail.CAUSES, *, as_matrix: bool = False
) -> int:
    """Run `request` for `command`, and print the outcome, as a table if `as_matrix`; returns the exit status."""
    from worldswitch.harness.expectations.outcome import Status, status, tally
    from worldswitch.harness.report import run_files, terminal
    from worldswitch.harness.report.export import github
    from worldswitch.harness.report.matrix import table
    from worldswitch.harness.results import reader
    from worldswitch.harness.results.errors import MAKE_ROOM
    from worldswitch.harness.run import runner

    out = console()
    scenarios = request.scenarios()
    folder = new_folder(results)
    with Progress(out, request, folder, detail) as progress:
        run = runner.Run(request, scenarios, folder, progress)
        run.go()
    unkept = run.unkept or run_files.write(run.outcomes, run.folder, run.stale)
    if detail is Detail.QUIET:
        out.print(str(tally(run.outcomes)))
    elif as_matrix:
        out.print()
        table.show(reader.read(run.folder), out)
    else:
        terminal.summary(run.outcomes, run.folder, request, out, run.stale)
    github.tell(run.outcomes, run.folder, run.stale)
    if run.interrupted:
        raise KeyboardInterrupt
    if unkept:
        print(f"worldswitch {command}: not all results could be written: {unkept}; {MAKE_ROOM}", file=sys.stderr)
    return status(run.outcomes, run.stale) or (Status.COULD_NOT_RUN if unkept else Status.AS_EXPECTED)
