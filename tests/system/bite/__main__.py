"""Changes the reference in every small way, and lists the changes that no scenario and no unit test notices.

exit status 0   each change that survived is listed in survivors.toml, and each of its lines still survives
1   a change survived that is not listed, or a listed one was noticed
2   it could not run: not as root, or the unchanged reference fails
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
import time
from pathlib import Path

import pytest
from bite import c_mutations, c_same_code, cage, listed, python_mutations, results, unit_tests, workers
from bite.engine import Engine, Loop
from bite.instrument import files_of
from bite.mutation import Mutation
from bite.results import Fate

CHECKOUT = Path(__file__).resolve().parents[3]


def main() -> int:
    """Try the chosen changes and return the exit status."""
    asked = _parser().parse_args()
    if problem := cage.problem():
        return _refuse(problem)
    asked.work.mkdir(parents=True, exist_ok=True)
    path = asked.work.resolve() / "results.jsonl"
    everything = _all()
    changes = _chosen(everything, asked)
    if any(one.number for one in changes):
        own_code = {one.id for one in c_same_code.distinct(asked.work)}
        everything = [one for one in everything if not one.number or one.id in own_code]
        changes = [one for one in changes if not one.number or one.id in own_code]
    if not changes:
        return _refuse(
            f"no change is called {', '.join(asked.only)}: give a file, a function, the id of a change, python or c"
        )
    marks = {file: results.mark(CHECKOUT / file) for file in {one.file for one in everything}}
    before = results.read(path)
    todo = [one for one in changes if not _is_done(before.get(one.id), marks[one.file], asked)]
    _say(f"{len(everything)} changes, {len(changes)} chosen, {len(changes) - len(todo)} of them tried before")
    if todo and not asked.list and (problem := _run(todo, marks, path, asked)):
        return _refuse(problem)
    if asked.summary:
        listed.summarize(everything, results.read(path), marks)
    return listed.report(everything, changes, results.read(path), marks)


def _all() -> list[Mutation]:
    found = [change for file in files_of(CHECKOUT) for change in python_mutations.mutations(CHECKOUT, file)]
    return [*found, *c_mutations.mutations()]


def _parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="nox -s bite --", description=(__doc__ or "").partition("\n")[0])
    made.add_argument("work", type=Path, help="the folder for the results; what it has is not tried again")
    made.add_argument(
        "--only", action="append", default=[], metavar="NAME", help="a file, a function, an id, python or c"
    )
    made.add_argument("--sample", type=int, metavar="N", help="only N changes, drawn at random")
    made.add_argument("--seed", type=int, default=0, metavar="S", help="the seed of --sample")
    made.add_argument("--shard", default="1/1", metavar="I/N", help="only the I-th of N parts")
    made.add_argument("--workers", type=int, default=os.cpu_count(), metavar="N", help="how many are tried at once")
    made.add_argument("--again", choices=("all", "survived"), help="try also what was tried before, or what survived")
    made.add_argument("--limit", type=int, metavar="N", help="at most N scenarios and N tests on each: a first look")
    made.add_argument("--id", action="append", default=[], help="only these scenarios, by id or name")
    made.add_argument("--tests", action="append", metavar="PATH", help="only these unit tests")
    made.add_argument("--summary", action="store_true", help="write summary.json, the table of the documentation")
    made.add_argument("--list", action="store_true", help="try nothing: report on what was tried before")
    return made


def _chosen(changes: list[Mutation], asked: argparse.Namespace) -> list[Mutation]:
    index, _, count = asked.shard.partition("/")
    named = [one for one in changes if not asked.only or any(_names(one, pattern) for pattern in asked.only)]
    part = named[int(index) - 1 :: int(count)]
    if asked.sample is None:
        return part
    # A sample draws the same changes after others have come or gone.
    return sorted(part, key=lambda one: hashlib.sha256(f"{asked.seed} {one.id}".encode()).digest())[: asked.sample]


def _names(change: Mutation, pattern: str) -> bool:
    return pattern in (change.id, change.file, change.family, change.function, "c" if change.number else "python")


def _is_done(before: results.Result | None, mark: str, asked: argparse.Namespace) -> bool:
    if before is None or asked.again == "all" or before.mark != mark:
        return False
    if before.fate is Fate.UNDECIDED:
        return asked.limit is not None
    return not (asked.again == "survived" and before.fate is Fate.SURVIVED)


def _say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


def _refuse(problem: str) -> int:
    print(f"bite cannot run here: {problem}", file=sys.stderr)
    return 2


def _run(changes: list[Mutation], marks: dict[str, str], path: Path, asked: argparse.Namespace) -> str:
    """Try the changes; return why that was impossible."""
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    problems: list[str] = []

    def work(engine: Engine) -> None:
        engine.own_folder()
        try:
            _say(f"{len(engine.items)} scenarios; the baseline is made anew if the code has changed")
            found = engine.load_baseline()
            for name, one in {**found.scenarios, **found.tests}.items():
                if one.problem and not one.problem.startswith(("unsupported", "blocked", "skipped")):
                    _say(f"left out, since it fails on the unchanged reference: {name}: {one.problem}")
            workers.work(engine, changes, marks, path, asked.workers, _say)
        except RuntimeError as error:
            problems.append(str(error))
        finally:
            engine.remove_folder(os.getpid())

    words = (
        "-p worldswitch.harness.cell.plugin -p no:cacheprovider -p no:terminal --noconftest --repeat quick --no-chaos"
    )
    places = f"-c {os.devnull} --rootdir={CHECKOUT / 'scenarios'} --pyargs worldswitch.scenarios"
    core = c_mutations.build(path.parent / "core") if any(one.number for one in changes) else None
    engine = Engine(CHECKOUT, path.parent, asked.tests or unit_tests.TESTS, core)
    engine.limit = asked.limit
    ids = [word for one in asked.id for word in ("--id", one)]
    status = pytest.main([*words.split(), *ids, *places.split()], plugins=[Loop(engine, work)])
    return problems[0] if problems else f"pytest ended with status {int(status)}" if status else ""


if __name__ == "__main__":
    sys.exit(main())
