"""`worldswitch bench`: what a world switch costs."""

from __future__ import annotations

import argparse
import importlib.util
import subprocess
from dataclasses import replace
from pathlib import Path

from worldswitch.harness.cell import seeds
from worldswitch.harness.cell_name import REFERENCE
from worldswitch.harness.environments.protocol import EngineChoice
from worldswitch.harness.errors import CouldNotRun

ABOUT = "measure what a world switch costs"

USAGE = """worldswitch bench [NAME ...] [options]
       worldswitch bench compare BEFORE AFTER [--anyway]
       worldswitch bench report [RUN ...] [--anyway]"""

#: What the command needs beyond what a run of scenarios needs.
PACKAGES = ("pyperf", "scipy", "matplotlib", "jinja2", "rich")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Which benchmarks, how much, and where results go."""
    parser.usage = USAGE
    parser.add_argument(
        "words",
        nargs="*",
        metavar="NAME",
        help="a subject (switch), a benchmark (switch::resident_pinned), or a pattern (default: all)",
    )
    how = parser.add_argument_group("measuring")
    how.add_argument("--platform", default=REFERENCE, metavar="NAME", help="as in run (default: %(default)s)")
    how.add_argument("--quick", action="store_true", help="within 3 minutes: to see that it works, not to compare")
    how.add_argument("--rounds", type=_rounds, metavar="N", help="processes for each benchmark")
    how.add_argument(
        "--realtime", action="store_true", help="before all other processes, which wait: for a loud machine; takes root"
    )
    how.add_argument("--seed", type=seeds.number, default=seeds.draw(), metavar="N", help="draws the order")
    how.add_argument("--list", action="store_true", help="say what each benchmark times and what it does not")
    beside = parser.add_argument_group("beside other tracers and sandboxes")
    beside.add_argument(
        "--peers", action="store_true", help="race static programs under them, or those that NAME begins the name of"
    )
    beside.add_argument(
        "--fetch-peers", action="store_true", help="get those that are not installed from the distribution's mirror"
    )
    where = parser.add_argument_group("in containers too, on the host and in each in turn")
    where.add_argument(
        "--engine",
        choices=("auto", "host", "docker", "oci"),
        help="host: in none (default: auto for a full run of all, or if a profile is named; else host)",
    )
    where.add_argument(
        "--profile", action="append", default=[], dest="profiles", metavar="NAME", help="as in run; repeatable"
    )
    then = parser.add_argument_group("comparing two runs, or reporting on several, by their folders or files")
    then.add_argument("--anyway", action="store_true", help="though the machines are not alike")
    parser.add_argument(
        "--results", type=Path, default=Path("results"), metavar="DIR", help="where results go (default: %(default)s)"
    )


def main(asked: argparse.Namespace) -> int:
    """Do what was asked for."""
    _check_packages()
    if asked.peers or asked.fetch_peers:
        return _race(asked)
    doing = _OTHERS.get(asked.words[0], _measure) if asked.words else _measure
    return doing(asked)


def _measure(asked: argparse.Namespace) -> int:
    from worldswitch.harness.bench import measure, session

    names = tuple(asked.words)
    if asked.list:
        return measure.print_descriptions(measure.chosen(names))
    effort = session.QUICK if asked.quick else session.FULL
    if asked.rounds:
        effort = replace(effort, rounds=asked.rounds, heavy=asked.rounds, seconds=float("inf"))
    effort = replace(effort, realtime=_realtime(asked))
    engine: EngineChoice = asked.engine or ("auto" if asked.profiles or not (names or asked.quick) else "host")
    if engine == "host" and asked.profiles:
        raise CouldNotRun("--profile names containers and --engine host leaves them out; drop one of the two")
    profiles = tuple(asked.profiles)
    request = measure.BenchRequest(names, asked.platform, effort, asked.seed, engine, profiles)
    return measure.show(request, asked.results)


def _realtime(asked: argparse.Namespace) -> bool:
    """Whether it is asked for; raises `CouldNotRun` where it is refused."""
    if asked.realtime:
        try:
            subprocess.run(["chrt", "-f", "1", "true"], check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as problem:
            raise CouldNotRun(f"--realtime: this user may not have that, be root ({problem})") from problem
    return bool(asked.realtime)


def _race(asked: argparse.Namespace) -> int:
    from worldswitch.harness.peers import race, race_report

    effort = race.QUICK if asked.quick else race.FULL
    if asked.rounds:
        effort = replace(effort, rounds=asked.rounds, others=asked.rounds)
    return race_report.show(asked.words, effort, asked.seed, asked.results, fetch=asked.fetch_peers)


def _compare(asked: argparse.Namespace) -> int:
    from worldswitch.harness.bench import compare_text

    if len(asked.words) != 3:
        raise CouldNotRun("compare takes two runs: worldswitch bench compare BEFORE AFTER")
    return compare_text.show(Path(asked.words[1]), Path(asked.words[2]), anyway=asked.anyway)


def _report(asked: argparse.Namespace) -> int:
    from worldswitch.harness.bench import make_report

    runs = [Path(word) for word in asked.words[1:]]
    return make_report.show(runs, asked.results, anyway=asked.anyway)


#: What a first word other than a benchmark's name asks for.
_OTHERS = {"compare": _compare, "report": _report}


def _check_packages() -> None:
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise CouldNotRun(
            f"benchmarks need {', '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not installed: "
            'python3 -m pip install "worldswitch[bench]"'
        )


def _rounds(text: str) -> int:
    if text.isdecimal() and int(text) > 0:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no number of rounds, 1 or more")
