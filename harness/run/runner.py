"""A run: every planned scenario in every environment, on every platform that is asked for.

Cells run one after the other, each with the whole machine: scenarios measure nothing, but they have deadlines.  Only
virtual machines go on side by side, each with a processor of its own (`worldswitch.harness.run.lanes`).  A cell
that cannot run costs its own scenarios, which are then `miss`, and nothing else.  An interrupted run keeps what it
reached and misses the rest.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import starmap
from pathlib import Path

from worldswitch.harness.catalogue.scenarios import Scenario
from worldswitch.harness.cell_name import CellName
from worldswitch.harness.environments.protocol import Environment, Missing
from worldswitch.harness.errors import CouldNotRun, Unobtainable
from worldswitch.harness.expectations import excuses, rules, stale
from worldswitch.harness.expectations.excuses import HostAbilities
from worldswitch.harness.expectations.judgement import Expectation, digest
from worldswitch.harness.expectations.outcome import CellOutcome, Problem, Stale
from worldswitch.harness.results.errors import MAKE_ROOM, CannotWrite, ResultError
from worldswitch.harness.results.manifest import PlannedCell
from worldswitch.harness.results.writer import RunWriter
from worldswitch.harness.run.cell_account import CellAccount, CellBasis, RunWatcher
from worldswitch.harness.run.collect import collect
from worldswitch.harness.run.lanes import Lanes
from worldswitch.harness.run.new_manifest import new
from worldswitch.harness.run.request import Request, cpus


def planned(place: Environment | Missing, platform: str) -> PlannedCell:
    """A cell as the manifest has it."""
    cell = CellName(place.name, platform)
    return PlannedCell(
        environment=place.name,
        platform=platform,
        file=cell.file,
        facts={} if isinstance(place, Missing) else dict(place.facts),
        profile=place.profile.fields if place.profile else {},
    )


@dataclass
class Run:
    """One run; its outcomes grow as it goes."""

    request: Request
    scenarios: Sequence[Scenario]
    folder: Path
    watcher: RunWatcher
    outcomes: list[CellOutcome] = field(default_factory=list)
    machine: HostAbilities = field(default_factory=HostAbilities)
    stale: list[Stale] = field(default_factory=list)  #: rules that this run shows to be out of date
    lanes: Lanes = field(default_factory=lambda: Lanes(cpus()))
    unkept: str = ""  #: why not all of it could be kept in the folder

    def go(self) -> None:
        """Run every cell."""
        # Before there are cells: a probe ends whatever new process it finds below this one, and cells are below it.
        self.machine = excuses.host_abilities(self.scenarios)
        # Once: who edits them meanwhile means the next run.
        self.files = rules.load_all(self.request.rules), rules.packaged()
        try:
            self.writer = RunWriter(self.folder, new(self.folder.name, self.request, self.scenarios))
        except CannotWrite as problem:
            raise CouldNotRun(f"{problem}; {MAKE_ROOM}") from problem
        try:
            with self.request.places(self.watcher.say) as plan:
                pairs = list(itertools.product(plan, self.request.platforms))
                with self._noting():
                    self.writer.plan(starmap(planned, pairs), digest(starmap(self._rules, pairs)))
                try:
                    self.lanes.run([(place.lane, (place, platform)) for place, platform in pairs], self._cell)
                finally:
                    order = [CellName(place.name, platform) for place, platform in pairs]
                    self.outcomes.sort(key=lambda outcome: order.index(outcome.cell))
        except KeyboardInterrupt:
            self.lanes.interrupted = True
        needs = {scenario.name: scenario.needs for scenario in self.scenarios}
        self.stale = stale.find(
            self.outcomes,
            needs,
            every=self.request.is_whole,
            left_out=stale.left_out(chaos=self.request.chaos),
            today=date.today(),
        )
        with self._noting():
            self.writer.finish(interrupted=self.interrupted, stale=self.stale)

    @property
    def interrupted(self) -> bool:
        """Whether somebody ended it before its time."""
        return self.lanes.interrupted

    def _cell(self, where: tuple[Environment | Missing, str]) -> None:
        outcome = self._outcome(*where)
        with self._noting():
            self.writer.cell_ends(outcome, {} if isinstance(where[0], Missing) else where[0].facts)
        self.outcomes.append(outcome)

    def _outcome(self, place: Environment | Missing, platform: str) -> CellOutcome:
        cell = CellName(place.name, platform)
        self.watcher.cell_starts(cell)
        known = {scenario.name: scenario for scenario in self.scenarios}
        book = self.writer.book(cell)
        ledger = CellAccount(cell, self._standing(place, platform), known, book, self.watcher)
        if self.interrupted:
            return ledger.close(Problem("the run was interrupted before"))
        if isinstance(place, Missing):
            return ledger.close(Problem(place.reason, place.remedy))
        try:
            self.writer.cell_starts(cell)
            problem = self._fill(ledger, place, cell)
        except CannotWrite as trouble:
            problem = Problem(str(trouble), MAKE_ROOM)
        except KeyboardInterrupt:
            self.lanes.interrupted = True
            problem = Problem("the run was interrupted")
        return ledger.close(self._told(problem))

    def _fill(self, ledger: CellAccount, place: Environment, cell: CellName) -> Problem | None:
        if place.lane:
            try:
                place.lane.open()
            except Unobtainable as problem:
                return Problem(problem.reason, problem.remedy, problem.log)
        arguments = self.request.arguments(cell, place.facts)
        silence = self.request.silence(self.scenarios, place.facts)
        return collect(place, arguments, silence, ledger.take, ledger.begin)

    def _told(self, problem: Problem | None) -> Problem | None:
        """A cell's problem as people know it: one in a lane that was taken down says something else of its end."""
        return Problem("the run was interrupted") if problem and self.interrupted else problem

    def _rules(self, place: Environment | Missing, platform: str) -> tuple[Expectation, ...]:
        """What a platform is expected to come to in a place, where that is not a pass; the first that holds decides."""
        own, packaged = self.files
        profile = rules.of_profile(place.profile) if place.profile else ()
        return (*rules.for_platform(platform, own), *profile, *rules.for_platform(platform, packaged))

    def _standing(self, place: Environment | Missing, platform: str) -> CellBasis:
        fields = place.profile.fields if place.profile else {}
        return CellBasis(self._rules(place, platform), fields, self.machine)

    @contextlib.contextmanager
    def _noting(self) -> Iterator[None]:
        """What cannot be kept ends no run: what is left of it is still told."""
        try:
            yield
        except (CannotWrite, ResultError, OSError) as problem:
            self.unkept = self.unkept or str(problem)
