"""A pytest plugin that, instead of running the collected scenarios, runs them on each change of the reference.

The scenarios are collected once, by a process that never imports the reference.  A fork of it, in a cage, imports the
changed reference, and runs the scenarios that run the changed line until one fails.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import msgspec
import pytest

from bite import baseline, cage, import_hook, python_mutations, results
from bite.baseline import Baseline, Ran
from bite.instrument import Hits, lines_of_functions
from bite.mutation import Mutation
from bite.results import Fate, Result
from bite.trials import Trials
from worldswitch.harness.cell.records import Trial
from worldswitch.harness.verdict import Verdict

#: A scenario may take this much longer on a changed reference than on the unchanged one.
FACTOR, SECONDS = 10.0, 6.0
#: The outer deadlines of a change and of the baseline.
CHANGE_SECONDS, BASELINE_SECONDS = 900.0, 1800.0

_FATES = {Verdict.FAIL: Fate.KILLED, Verdict.TIMEOUT: Fate.TIMEOUT}


@dataclass
class Work:
    """What to do, and where."""

    root: Path
    folder: Path  #: for the baseline and the results
    changes: list[Mutation]
    say: Callable[[str], None]

    @property
    def results(self) -> Path:
        return self.folder / "results.jsonl"


class Engine(Trials):
    """The plugin."""

    def __init__(self, work: Work) -> None:
        super().__init__()
        self.work = work
        self._functions: dict[str, set[int]] = {}

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Try every change instead of running the scenarios."""
        self.take(session)
        if early := [name for name in sys.modules if name.startswith(f"{import_hook.PACKAGE}.")]:
            raise RuntimeError(f"the reference is already imported: {early[0]}")
        self.temporary = self.work.folder / "tmp"
        self.temporary.mkdir(exist_ok=True)
        now = baseline.digest(self.work.root, ("reference", "scenarios"))
        self.baseline = baseline.kept(self.work.folder / "baseline.json", now, partial(self._make_baseline, now))
        self._try_all()
        return True

    # --------------------------------------------------------------------------------------------------- the baseline

    def _make_baseline(self, now: str) -> Baseline:
        self.work.say(f"running {len(self.items)} scenarios on the unchanged reference")
        said = cage.run(self._run_unchanged, self.temporary, BASELINE_SECONDS)
        if said is None:
            raise RuntimeError("the scenarios on the unchanged reference did not end")
        scenarios = msgspec.json.decode(said, type=dict[str, Ran])
        for name, one in scenarios.items():
            if one.problem:
                self.work.say(f"left out, since the unchanged reference does not pass it: {name}: {one.problem}")
        return Baseline(now, scenarios, {})

    def _run_unchanged(self) -> bytes:
        files = sorted(f"reference/{path.name}" for path in (self.work.root / "reference").glob("*.py"))
        hits = Hits(self.work.root, files)
        trees = {import_hook.module_of(file): partial(hits.tree, file) for file in files if "__init__" not in file}
        import_hook.install(trees, hits.globals)
        return msgspec.json.encode({name: self._run_once(name, hits) for name in self.names()})

    def _run_once(self, name: str, hits: Hits) -> Ran:
        for _ in range(2):
            hits.clear()
            trial = self.run(name, 60.0)
            problem = "" if trial.verdict is Verdict.PASS else f"{trial.verdict.value}: {trial.reason}"
            if trial.verdict in (Verdict.PASS, Verdict.UNSUPPORTED, Verdict.BLOCKED):
                break
        return Ran(trial.seconds, hits.read(), problem)

    # ---------------------------------------------------------------------------------------------------- the changes

    def _try_all(self) -> None:
        begin, total = time.monotonic(), len(self.work.changes)
        for done, change in enumerate(self.work.changes, 1):
            found = self._try(change)
            results.append(self.work.results, found)
            left = (time.monotonic() - begin) / done * (total - done)
            by = f" by {found.by}" if found.by else ""
            place = f"{change.file}:{change.line} {change.operator}"
            self.work.say(f"{done}/{total}, {left / 60:.0f} min left: {change.id} {found.fate}{by} ({place})")

    def _try(self, change: Mutation) -> Result:
        begin = time.monotonic()
        said = cage.run(partial(self._run_changed, change), self.temporary, CHANGE_SECONDS)
        if said is None:
            late = time.monotonic() - begin >= CHANGE_SECONDS
            reason = "the whole run did not end" if late else "the process that runs the trials died"
            found = results.result(change, Fate.TIMEOUT if late else Fate.CRASH, reason=reason)
        else:
            found = msgspec.json.decode(said, type=Result)
        return msgspec.structs.replace(found, seconds=round(time.monotonic() - begin, 3))

    def _run_changed(self, change: Mutation) -> bytes:
        """Try one change; in a cage."""
        tree = python_mutations.mutated(self.work.root, change)
        import_hook.install({import_hook.module_of(change.file): lambda: tree})
        names = self._covering(change)
        for tried, name in enumerate(names, 1):
            trial = self._failure(name)
            if trial is not None:
                fate = Fate.CRASH if _is_import(trial) else _FATES.get(trial.verdict, Fate.CRASH)
                reason = trial.reason.partition("\n")[0][:300]
                more = {"by": name, "assertion": trial.assertion, "reason": reason, "tried": tried}
                return msgspec.json.encode(results.result(change, fate, **more))
        return msgspec.json.encode(results.result(change, Fate.SURVIVED, tried=len(names)))

    def _covering(self, change: Mutation) -> list[str]:
        if change.file not in self._functions:
            self._functions[change.file] = lines_of_functions((self.work.root / change.file).read_text())
        everywhere = change.line not in self._functions[change.file]
        return baseline.order(self.baseline.scenarios, change.file, change.line, everywhere)

    def _failure(self, name: str) -> Trial | None:
        """Run a scenario; return its failure, if it fails a second time too."""
        deadline = SECONDS + FACTOR * self.baseline.scenarios[name].seconds
        for seconds in (deadline, 2 * deadline):
            trial = self.run(name, seconds)
            if trial.verdict in (Verdict.PASS, Verdict.UNSUPPORTED, Verdict.BLOCKED):
                return None
        return trial


def _is_import(trial: Trial) -> bool:
    return trial.verdict is not Verdict.FAIL and not trial.assertion and "import" in trial.reason


def chosen(changes: Iterable[Mutation], patterns: Iterable[str]) -> list[Mutation]:
    """Return the changes whose file, function or id one of `patterns` names; all without any."""
    patterns = list(patterns)
    return [one for one in changes if not patterns or any(_names(one, pattern) for pattern in patterns)]


def _names(change: Mutation, pattern: str) -> bool:
    return pattern in (change.id, change.file, change.family, change.function)
