"""A pytest plugin that, instead of running the collected scenarios, runs them on each change of the reference.

The scenarios are collected once, by a process that never imports the reference.  A fork of it, in a cage, imports the
changed reference, and runs the scenarios and then the unit tests that run the changed line, until one fails.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import msgspec
import pytest
from bite import baseline, cage, import_hook, instrument, python_mutations, results, unit_tests
from bite.baseline import Baseline, Ran
from bite.mutation import Mutation
from bite.pytest_record import SKIPPED
from bite.results import Fate, Result
from bite.trials import Trials

from worldswitch.harness.cell.records import Trial
from worldswitch.harness.verdict import Verdict

#: A trial may take this much longer on a changed reference than on the unchanged one, and twice that a second time.
FACTOR, SECONDS = 10.0, 6.0
#: The outer deadlines of a change and of the baseline.
CHANGE_SECONDS, BASELINE_SECONDS = 1200.0, 2400.0

_HARMLESS = (Verdict.PASS, Verdict.UNSUPPORTED, Verdict.BLOCKED)
_FATES = {Verdict.FAIL: Fate.KILLED, Verdict.TIMEOUT: Fate.TIMEOUT}


@dataclass
class Code:
    """The folder from which a process in a cage imports the reference, made in that process."""

    root: Path
    folder: Path
    core: Path | None  #: the extension module with all changes of the C core

    def instrument(self) -> instrument.Hits:
        """Import the whole reference instrumented."""
        self.folder.mkdir()
        instrument.prepare(self.root, self.folder)
        import_hook.install(self.folder)
        return instrument.Hits(self.folder, instrument.files_of(self.root))

    def change(self, change: Mutation) -> None:
        """Import the reference with one change."""
        self.folder.mkdir()
        if change.number:
            assert self.core is not None
            shutil.copyfile(self.core, self.folder / f"{import_hook.PACKAGE}._core")
            os.environ["WORLDSWITCH_BITE_C"] = str(change.number)
        else:
            tree = python_mutations.mutated(self.root, change)
            import_hook.put(self.folder, self.root / change.file, import_hook.module_of(change.file), tree)
        import_hook.install(self.folder)


class Engine(Trials):
    """Makes the baseline, and tries changes."""

    def __init__(self, root: Path, folder: Path, tests: Sequence[str], core: Path | None = None) -> None:
        super().__init__()
        self.root, self.folder, self.tests, self.core = root, folder, tests, core
        self.limit: int | None = None  #: on the scenarios, and on the tests, that are run on a change
        self.lock = folder / "lock"
        self._killers: Counter[tuple[str, str, str]] = Counter()  #: scenarios, by the file and function they noticed

    def own_folder(self) -> None:
        """Use a folder for temporary files that no other worker uses; in a cage it is another file system."""
        self.temporary = self._folder_of(os.getpid())
        self.temporary.mkdir(exist_ok=True)

    def remove_folder(self, worker: int) -> None:
        """Remove the folder of a worker that has ended."""
        with contextlib.suppress(FileNotFoundError):
            self._folder_of(worker).rmdir()

    def _folder_of(self, worker: int) -> Path:
        return self.folder / f"tmp-{worker}"

    @property
    def _code(self) -> Code:
        return Code(self.root, self.temporary / "code", self.core)

    # --------------------------------------------------------------------------------------------------- the baseline

    def load_baseline(self) -> Baseline:
        """Return the kept baseline, or make it.  Raises `RuntimeError`."""
        self.folder.joinpath("lock").touch()
        now = baseline.digest(self.root, ("reference", "scenarios", *self.tests), (*self.items, *self.tests))
        self.baseline = baseline.kept(self.folder / "baseline.json", now, partial(self._make_baseline, now))
        return self.baseline

    def _make_baseline(self, now: str) -> Baseline:
        names, count = list(self.items), os.cpu_count() or 1
        works = [partial(self._run_unchanged, names[index::count], ()) for index in range(count)]
        works.append(partial(self._run_unchanged, (), self.tests))
        with contextlib.ExitStack() as stack:
            cages = [cage.Cage(work, self.temporary) for work in works]
            for one in cages:
                stack.callback(one.close)
            end = time.monotonic() + BASELINE_SECONDS
            said = [one.result(end) for one in cages]
        parts = [msgspec.json.decode(part, type=Baseline) for part in said if part is not None]
        if len(parts) < len(cages):
            raise RuntimeError(f"the trials of the unchanged reference died, or took {BASELINE_SECONDS:g} s")
        scenarios = {name: ran for part in parts for name, ran in part.scenarios.items()}
        return Baseline(now, scenarios, parts[-1].tests)

    def _run_unchanged(self, scenarios: Sequence[str], tests: Sequence[str]) -> bytes:
        hits = self._code.instrument()
        ran = {name: self._run_once(name, hits) for name in scenarios}
        return msgspec.json.encode(Baseline("", ran, self._run_tests(tests) if tests else {}))

    def _run_tests(self, tests: Sequence[str]) -> dict[str, Ran]:
        try:
            return unit_tests.run(self.root, self.temporary, tests, BASELINE_SECONDS, stop=False)
        except unit_tests.Ended as error:
            raise RuntimeError(f"the unit tests on the unchanged reference ended: {error}") from error

    def _run_once(self, name: str, hits: instrument.Hits) -> Ran:
        for _ in range(2):
            hits.clear()
            trial = self.run(name, 120.0)
            problem = "" if trial.verdict is Verdict.PASS else f"{trial.verdict.value}: {trial.reason}"
            if trial.verdict in _HARMLESS:
                break
        return Ran(trial.seconds, hits.read(), problem)

    # ---------------------------------------------------------------------------------------------------- the changes

    def attempt(self, change: Mutation, mark: str) -> Result:
        """Try one change; `mark` says which state of the file it changes."""
        begin = time.monotonic()
        end, said = begin + CHANGE_SECONDS, None
        for _ in range(2):  # what dies only once died of something else
            said = said or cage.Cage(partial(self._run_changed, change), self.temporary).result(end)
        if said is not None:
            found = msgspec.json.decode(said, type=Result)
        elif time.monotonic() >= end:
            found = results.result(change, Fate.TIMEOUT, reason="the whole run did not end")
        else:
            found = results.result(change, Fate.CRASH, reason="the process that runs the trials died, twice")
        self._killers[found.file, found.function, found.by] += 1
        return msgspec.structs.replace(found, seconds=round(time.monotonic() - begin, 3), mark=mark)

    def _run_changed(self, change: Mutation) -> bytes:
        self._code.change(change)
        everywhere = change.line not in instrument.lines_of(self.root / change.file)
        order = partial(baseline.order, file=change.file, line=change.line, everywhere=everywhere)
        scenarios, tests = self._promising_first(change, order(self.baseline.scenarios)), order(self.baseline.tests)
        found = self._scenarios(change, scenarios[: self.limit])
        if found.fate is Fate.SURVIVED:
            found = self._tests(change, tests[: self.limit], found.tried)
        if found.fate is Fate.SURVIVED and found.tried < len(scenarios) + len(tests):
            found = msgspec.structs.replace(found, fate=Fate.UNDECIDED)
        return msgspec.json.encode(found)

    def _promising_first(self, change: Mutation, names: list[str]) -> list[str]:
        """Move the scenarios that noticed most other changes of the function to the front."""
        noticed = Counter({name: self._killers[change.file, change.function, name] for name in names})
        first = [name for name, times in noticed.most_common(5) if times]
        return [*first, *(name for name in names if name not in first)]

    def _scenarios(self, change: Mutation, names: list[str]) -> Result:
        for tried, name in enumerate(names, 1):
            trial = self._failure(name)
            if trial is not None:
                fate = Fate.CRASH if _is_import(trial) else _FATES.get(trial.verdict, Fate.CRASH)
                reason = trial.reason.partition("\n")[0][:300]
                more = {"by": name, "assertion": trial.assertion, "reason": reason, "tried": tried}
                return results.result(change, fate, **more)
        return results.result(change, Fate.SURVIVED, tried=len(names))

    def _failure(self, name: str) -> Trial | None:
        """Run a scenario; return its failure, if it fails a second time too."""
        deadline = SECONDS + FACTOR * self.baseline.scenarios[name].seconds
        for seconds in (deadline, 2 * deadline):
            trial = self.run(name, seconds)
            if trial.verdict in _HARMLESS:
                return None
        return trial

    def _tests(self, change: Mutation, names: list[str], tried: int) -> Result:
        """Run the tests, and the first that fails a second time."""
        by, problem, tried = names, "", tried + len(names)
        deadline = 60.0 + FACTOR * sum(self.baseline.tests[name].seconds for name in names)
        try:
            for _ in range(2 if names else 0):
                ran = unit_tests.run(self.root, self.temporary, by, deadline, stop=True)
                failed = {name: one.problem for name, one in ran.items() if one.problem not in ("", SKIPPED)}
                if not failed:
                    return results.result(change, Fate.SURVIVED, tried=tried)
                by, problem = list(failed), next(iter(failed.values()))
        except unit_tests.Ended as error:
            return results.result(change, Fate.CRASH, by="the unit tests", reason=str(error), tried=tried)
        except subprocess.TimeoutExpired:
            return results.result(change, Fate.TIMEOUT, by="the unit tests", tried=tried)
        if not names:
            return results.result(change, Fate.SURVIVED, tried=tried)
        own = "assert" in problem
        return results.result(change, Fate.KILLED, by=by[0], assertion=own, reason=problem, tried=tried)


def _is_import(trial: Trial) -> bool:
    return trial.verdict is not Verdict.FAIL and not trial.assertion and "import" in trial.reason


class Loop:
    """The pytest plugin: takes the scenarios that are collected, and gives the engine to `work`."""

    def __init__(self, engine: Engine, work: object) -> None:
        self._engine, self._work = engine, work

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Work instead of running the scenarios."""
        self._engine.take(session)
        self._work(self._engine)  # type: ignore[operator]
        return True
