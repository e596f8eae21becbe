"""Changes the reference in every small way, and says which changes no scenario and no test notices: `nox -s bite`."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from bite import cage, python_mutations, results
from bite.engine import Engine, Work, chosen
from bite.mutation import Mutation
from bite.results import Fate

CHECKOUT = Path(__file__).resolve().parents[3]


def main() -> int:
    """Try the chosen changes and return the exit status."""
    asked = _parser().parse_args()
    if problem := cage.problem():
        print(f"bite cannot run here: {problem}", file=sys.stderr)
        return 2
    changes = chosen(_all(), asked.only)
    asked.work.mkdir(parents=True, exist_ok=True)
    work = Work(CHECKOUT, asked.work.resolve(), [], _say)
    before = results.read(work.results)
    work.changes = [one for one in changes if asked.again or one.id not in before]
    _say(f"{len(changes)} changes, {len(changes) - len(work.changes)} tried before")
    if work.changes:
        _run(work)
    return _report(changes, work)


def _all() -> list[Mutation]:
    files = sorted(f"reference/{path.name}" for path in (CHECKOUT / "reference").glob("*.py"))
    return [change for file in files for change in python_mutations.mutations(CHECKOUT, file)]


def _parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="bite", description=__doc__)
    made.add_argument("work", type=Path, help="the folder for the results")
    made.add_argument("--only", action="append", default=[], metavar="NAME", help="a file, a function or an id")
    made.add_argument("--again", action="store_true", help="try also what was tried before")
    return made


def _say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


def _run(work: Work) -> None:
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    words = (
        "-p worldswitch.harness.cell.plugin -p no:cacheprovider -p no:terminal --noconftest --repeat quick --no-chaos"
    )
    scenarios = "--scenarios worldswitch.scenarios --pyargs worldswitch.scenarios"
    root = ["-c", os.devnull, f"--rootdir={CHECKOUT / 'scenarios'}"]
    status = pytest.main([*words.split(), *root, *scenarios.split()], plugins=[Engine(work)])
    if status:
        raise RuntimeError(f"pytest ended with status {status}")


def _report(changes: list[Mutation], work: Work) -> int:
    found = results.read(work.results)
    survivors = [one for one in changes if one.id in found and found[one.id].fate is Fate.SURVIVED]
    for change in survivors:
        print(f"survived: {change}")
    counts = Counter(found[one.id].fate for one in changes if one.id in found)
    print(", ".join(f"{number} {fate}" for fate, number in counts.items()))
    return int(bool(survivors))


if __name__ == "__main__":
    sys.exit(main())
