"""`worldswitch bench`: measure what a world switch costs."""

from __future__ import annotations

import argparse
import subprocess
from dataclasses import replace
from pathlib import Path

from worldswitch.harness.cell_name import REFERENCE
from worldswitch.harness.cli import options
from worldswitch.harness.cli.parsing import completers, statuses
from worldswitch.harness.cli.parsing.completers import completed_by
from worldswitch.harness.environments import installation
from worldswitch.harness.environments.protocol import EngineChoice
from worldswitch.harness.errors import CouldNotRun

ABOUT = "measure what a world switch costs"
STATUSES = {
    0: "measured, compared or reported; compare: nothing is slower",
    1: "compare: a benchmark is slower",
    2: f"a cell could not be measured; a package of the extra `bench` is not installed; or {statuses.BAD_INPUT}",
}
EXAMPLES = """
worldswitch bench --list
worldswitch bench --quick
worldswitch bench switch::resident_pinned
worldswitch bench compare BEFORE AFTER
"""

USAGE = """worldswitch bench [NAME ...] [options]
       worldswitch bench compare BEFORE AFTER [--anyway]
       worldswitch bench report [RUN ...] [--anyway]"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of all three forms in `USAGE`: a first word that is no benchmark's name selects the form."""
    parser.usage = USAGE
    words = parser.add_argument(
        "words",
        nargs="*",
        metavar="NAME",
        help="subject (switch), benchmark (switch::resident_pinned), or a pattern; with --peers: peers (default: all)",
    )
    completed_by(completers.benchmarks, words)
    how = parser.add_argument_group("measuring")
    how.add_argument("--platform", default=REFERENCE, metavar="NAME", help="as for run (default: %(default)s)")
    how.add_argument("--quick", action="store_true", help="few rounds, at most 3 minutes; not for comparisons")
    how.add_argument("--rounds", type=options.count, metavar="N", help="number of processes for each benchmark")
    how.add_argument("--realtime", action="store_true", help="use real-time priority, on a busy machine; needs root")
    options.seed(how)
    how.add_argument("--list", action="store_true", help="list what each benchmark times and what it excludes")
    peers = parser.add_argument_group("comparing with other tracers and sandboxes (peers)")
    peers.add_argument("--peers", action="store_true", help="time programs under all peers, or those that NAME selects")
    peers.add_argument("--fetch-peers", action="store_true", help="as --peers; fetch missing peers from the mirror")
    where = parser.add_argument_group("measuring on the host and in containers, in alternation")
    where.add_argument(
        "--engine",
        choices=("auto", "host", "docker", "oci"),
        help="what makes the containers; host: none (default: auto for a full run or with --profile, else host)",
    )
    options.profiles(where, "also")
    then = parser.add_argument_group("compare and report: BEFORE, AFTER and RUN are folders or files of results")
    then.add_argument("--anyway", action="store_true", help="accept runs from machines that differ")
    options.results(parser)


def main(arguments: argparse.Namespace) -> int:
    """Measure, compare or report; returns the exit status."""
    _check_packages()
    if arguments.peers or arguments.fetch_peers:
        return _race(arguments)
    form = _FORMS.get(arguments.words[0], _measure) if arguments.words else _measure
    return form(arguments)


def _measure(arguments: argparse.Namespace) -> int:
    from worldswitch.harness.bench import measure, session

    names = tuple(arguments.words)
    if arguments.list:
        return measure.print_descriptions(measure.chosen(names))
    effort = session.QUICK if arguments.quick else session.FULL
    if arguments.rounds:
        effort = replace(effort, rounds=arguments.rounds, heavy=arguments.rounds, seconds=float("inf"))
    effort = replace(effort, realtime=_realtime(arguments))
    engine: EngineChoice = arguments.engine or (
        "auto" if arguments.profiles or not (names or arguments.quick) else "host"
    )
    if engine == "host" and arguments.profiles:
        raise CouldNotRun("--profile needs containers, and --engine host excludes them; drop one of the two")
    profiles = tuple(arguments.profiles)
    request = measure.BenchRequest(names, arguments.platform, effort, arguments.seed, engine, profiles)
    return measure.show(request, arguments.results)


def _realtime(arguments: argparse.Namespace) -> bool:
    """True if `--realtime` was given; raises `CouldNotRun` if the kernel refuses it."""
    if arguments.realtime:
        try:
            subprocess.run(["chrt", "-f", "1", "true"], check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as problem:
            raise CouldNotRun(f"--realtime: `chrt -f 1 true` failed ({problem}); run as root") from problem
    return bool(arguments.realtime)


def _race(arguments: argparse.Namespace) -> int:
    from worldswitch.harness.peers import race, race_report

    effort = race.QUICK if arguments.quick else race.FULL
    if arguments.rounds:
        effort = replace(effort, rounds=arguments.rounds, others=arguments.rounds)
    return race_report.show(arguments.words, effort, arguments.seed, arguments.results, fetch=arguments.fetch_peers)


def _compare(arguments: argparse.Namespace) -> int:
    from worldswitch.harness.bench import compare_text

    if len(arguments.words) != 3:
        raise CouldNotRun("compare takes two runs: worldswitch bench compare BEFORE AFTER")
    return compare_text.show(Path(arguments.words[1]), Path(arguments.words[2]), anyway=arguments.anyway)


def _report(arguments: argparse.Namespace) -> int:
    from worldswitch.harness.bench import make_report

    runs = [Path(word) for word in arguments.words[1:]]
    return make_report.show(runs, arguments.results, anyway=arguments.anyway)


#: By the first word.
_FORMS = {"compare": _compare, "report": _report}


def _check_packages() -> None:
    if missing := installation.missing("bench"):
        raise CouldNotRun(
            f"benchmarks need packages that are not installed; install them: {installation.pip_install(*missing)}"
        )
