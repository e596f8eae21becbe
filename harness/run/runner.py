"""Runs every planned scenario in every environment, on every platform of the request.

Cells run one after the other with the whole machine, because scenarios have deadlines.  Only virtual machines run in
parallel, each with its own processor (`worldswitch.harness.run.lanes`).  If a cell cannot run, its trials are `miss`,
and no other cell is affected.  An interrupted run has its results so far, and the rest is `miss`.
"""

from __future__ import annotations

import contextlib
import itertools
import time
import traceback
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from functools import cached_property
from itertools import starmap
from pathlib import Path

import msgspec

from worldswitch.harness import cell_name
from worldswitch.harness.catalogue.scenarios import Scenario
from worldswitch.harness.cell.probes import fingerprint
from worldswitch.harness.cell.records import Record
from worldswitch.harness.cell_name import REFERENCE, CellName
from worldswitch.harness.environments.protocol import Environment, Missing
from worldswitch.harness.errors import CouldNotRun, Unobtainable
from worldswitch.harness.expectations import excuses, rules, stale
from worldswitch.harness.expectations.excuses import HostAbilities
from worldswitch.harness.expectations.judgement import Expectation, digest
from worldswitch.harness.expectations.outcome import CellOutcome, Problem, Stale
from worldswitch.harness.expectations.rules import Rules
from worldswitch.harness.linux import defects, limits
from worldswitch.harness.linux.uname import kernel
from worldswitch.harness.results.errors import MAKE_ROOM, CannotWrite, ResultError
from worldswitch.harness.results.manifest import Manifest, PlannedCell, PlannedScenario
from worldswitch.harness.results.writer import RunWriter
from worldswitch.harness.run import forecast
from worldswitch.harness.run.cell_account import CellAccount, CellBasis, RunWatcher
from worldswitch.harness.run.collect import collect
from worldswitch.harness.run.lanes import Lanes
from worldswitch.harness.run.request import Request, cpus


def planned(place: Environment | Missing, platform: str, scenarios: Sequence[Scenario] = ()) -> PlannedCell:
    """Return the manifest's entry for a cell before it starts."""
    cell = CellName(place.name, platform)
    asked = None if isinstance(place, Missing) or platform != REFERENCE else forecast.of(place, scenarios)
    return PlannedCell(
        environment=place.name,
        platform=platform,
        file=cell.file,
        facts={} if isinstance(place, Missing) else dict(place.facts),
        profile=place.profile.fields if place.profile else {},
        forecast=asked,
    )


class _Enough(Exception):
    """The run has as many unexpected verdicts as the request allows."""


def _unforeseen(error: Exception) -> Problem:
    """Return the problem of a cell that an exception of an unforeseen class ended."""
    if limit := limits.exhausted(error):
        return Problem(limit)
    return Problem(defects.line(error), log="".join(traceback.format_exception(error)))


def _facts(rules: Iterable[Expectation], scenarios: Collection[Scenario]) -> set[str]:
    """Return the names of the facts that the conditions of rules about these scenarios name."""
    about = (rule for rule in rules if any(rule.covers(one.name, one.ids, one.needs) for one in scenarios))
    fields = (condition.field.partition(".") for rule in about for condition in rule.when)
    return {name for group, _, name in fields if group == "fact"}


@dataclass
class Run:
    """One run; `outcomes` grows while it goes on."""

    request: Request
    scenarios: Sequence[Scenario]
    folder: Path
    watcher: RunWatcher
    outcomes: list[CellOutcome] = field(default_factory=list)
    machine: HostAbilities = field(default_factory=HostAbilities)
    stale: list[Stale] = field(default_factory=list)  #: rules that the run shows to be out of date
    lanes: Lanes = field(default_factory=lambda: Lanes(cpus()))
    unkept: str = ""  #: the first error of writing the folder, if any
    accounts: list[CellAccount] = field(default_factory=list)  #: of the cells that have started
    unstarted: dict[CellName, str] = field(default_factory=dict)  #: why cells were predicted not to start

    @cached_property
    def writer(self) -> RunWriter:
        """The writer of the folder; the run starts now.  Raises `CouldNotRun`."""
        fields = ("name", "ids", "claim", "clauses", "needs", "variants")
        new = Manifest(
            run=self.folder.name,
            started=time.time(),
            seed=self.request.seed,
            request=asdict(self.request),
            kernel=kernel(),
            versions=fingerprint.versions(),
            scenarios=tuple(PlannedScenario(**{key: getattr(one, key) for key in fields}) for one in self.scenarios),
        )
        try:
            return RunWriter(self.folder, new)
        except CannotWrite as problem:
            raise CouldNotRun(f"{problem}; {MAKE_ROOM}") from problem

    @cached_property
    def rule_files(self) -> tuple[list[Rules], list[Rules]]:
        """The rule files of the request and of the package, read once: later edits apply to the next run."""
        return rules.load_all(self.request.rules), rules.packaged()

    def go(self) -> None:
        """Run every cell.  Raises `CouldNotRun`."""
        self.watcher.say("probing this machine")
        # Before any cell starts: a probe kills every new process below this one, and cells are below it.
        self.machine = excuses.host_abilities(self.scenarios)
        writer = self.writer
        try:
            with self.request.places(self.watcher.say) as plan:
                self._run(self._pairs(plan))
        except KeyboardInterrupt:
            self.lanes.interrupted = True
        self.stale = self._stale()
        with self._noting():
            writer.finish(interrupted=self.interrupted, stale=self.stale)

    def _pairs(self, plan: Iterable[Environment | Missing]) -> list[tuple[Environment | Missing, str]]:
        """Return the environment and platform of each cell; a cell of the request that is not there is `Missing`."""
        pairs = list(itertools.product(plan, self.request.platforms))
        asked = self.request.only
        if not asked:
            return pairs
        wanted = [(place, name) for place, name in pairs if str(CellName(place.name, name)) in asked]
        there = {str(CellName(place.name, name)) for place, name in wanted}
        gone = [cell_name.parse(name) for name in asked if name not in there]
        remedy = "run the cell again by its own options"
        lost = [
            (Missing(cell.environment, f"the environment of {cell} is not there now", remedy), cell) for cell in gone
        ]
        return [*wanted, *((place, cell.platform) for place, cell in lost)]

    def _run(self, pairs: Sequence[tuple[Environment | Missing, str]]) -> None:
        names = [CellName(place.name, platform) for place, platform in pairs]
        self.watcher.run_plans({name: len(self.request.scenarios_in(name, self.scenarios)) for name in names})
        with self._noting():
            cells = [planned(place, platform, self.scenarios) for place, platform in pairs]
            for cell in cells:
                if cell.forecast and cell.forecast.start:
                    self.unstarted[cell.name] = cell.forecast.start
                    self.watcher.say(f"{cell.name}: predicted: {cell.forecast.start}")
            self.writer.plan(cells, digest(starmap(self._rules, pairs)))
        try:
            self.lanes.run([(place.lane, (place, platform)) for place, platform in pairs], self._cell)
        finally:
            self.outcomes.sort(key=lambda outcome: names.index(outcome.cell))

    def _stale(self) -> list[Stale]:
        needs = {scenario.name: scenario.needs for scenario in self.scenarios}
        left_out = stale.left_out(chaos=self.request.chaos)
        every = self.request.is_whole
        return stale.find(self.outcomes, needs, every=every, left_out=left_out, today=date.today())

    @property
    def interrupted(self) -> bool:
        """True if the run was interrupted."""
        return self.lanes.interrupted

    def _cell(self, where: tuple[Environment | Missing, str]) -> None:
        outcome = self._outcome(*where)
        with self._noting():
            self.writer.cell_ends(outcome, {} if isinstance(where[0], Missing) else where[0].facts)
        self.outcomes.append(outcome)

    def _outcome(self, place: Environment | Missing, platform: str) -> CellOutcome:
        cell = CellName(place.name, platform)
        self.watcher.cell_starts(cell)
        known = {scenario.name: scenario for scenario in self.request.scenarios_in(cell, self.scenarios)}
        profile = place.profile.fields if place.profile else {}
        basis = CellBasis(self._rules(place, platform), profile, self.machine)
        account = CellAccount(cell, basis, known, self.writer.cell(cell), self.watcher)
        self.accounts.append(account)
        if self.interrupted:
            return account.close(Problem("the run was interrupted before"))
        if self._is_enough:
            return account.close(Problem(f"not started: {self._stopped}"))
        if isinstance(place, Missing):
            return account.close(Problem(place.reason, place.remedy))
        try:
            self.writer.cell_starts(cell)
            problem = self._predicted(cell, self._fill(account, place, cell, _facts(basis.rules, known.values())))
        except CannotWrite as trouble:
            problem = Problem(str(trouble), MAKE_ROOM)
        except _Enough:
            problem = Problem(self._stopped)
        except KeyboardInterrupt:
            self.lanes.interrupted = True
            problem = Problem("the run was interrupted")
        except Exception as error:  # whatever it is, it costs this cell only
            problem = _unforeseen(error)
        if problem and self.lanes.interrupted:  # not the error that taking the lane down caused
            problem = Problem("the run was interrupted")
        return account.close(problem)

    def _predicted(self, cell: CellName, problem: Problem | None) -> Problem | None:
        """Return the problem with the prediction from the filter, if there was one that no container starts."""
        if not problem or cell not in self.unstarted:
            return problem
        remedy = problem.remedy or "allow the calls that `worldswitch profile check FILE` lists"
        return msgspec.structs.replace(
            problem, reason=f"{problem.reason}; predicted: {self.unstarted[cell]}", remedy=remedy
        )

    def _fill(self, account: CellAccount, place: Environment, cell: CellName, facts: Iterable[str]) -> Problem | None:
        if place.lane:
            try:
                place.lane.open()
            except Unobtainable as problem:
                return Problem(problem.reason, problem.remedy, problem.log)
        self._check()
        arguments = self.request.arguments(cell, place.facts, facts)
        silence = self.request.silence(self.scenarios, place.facts)

        def take(record: Record) -> None:
            account.take(record)
            self._check()

        return collect(place, arguments, silence, take, account.begin)

    @property
    def _is_enough(self) -> bool:
        most = self.request.maxfail
        return most > 0 and sum(account.unexpected for account in list(self.accounts)) >= most

    def _check(self) -> None:
        """End the cell if the run has enough unexpected verdicts.  Raises `_Enough`."""
        if self._is_enough:
            raise _Enough

    @property
    def _stopped(self) -> str:
        most = self.request.maxfail
        what, option = ("verdict", "-x") if most == 1 else ("verdicts", "--maxfail")
        return f"the run stopped after {most} unexpected {what}, as {option} asks"

    def _rules(self, place: Environment | Missing, platform: str) -> tuple[Expectation, ...]:
        """Return the rules for a platform in an environment, in order of precedence."""
        own, packaged = self.rule_files
        profile = rules.of_profile(place.profile) if place.profile else ()
        return (*rules.for_platform(platform, own), *profile, *rules.for_platform(platform, packaged))

    @contextlib.contextmanager
    def _noting(self) -> Iterator[None]:
        """Note an error of writing the folder; the run goes on and is still reported."""
        try:
            yield
        except (CannotWrite, ResultError, OSError) as problem:
            self.unkept = self.unkept or str(problem)
