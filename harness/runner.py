"""A run: every planned scenario in every environment, on every platform that is asked for.

Cells run one after the other, each with the whole machine: scenarios measure nothing, but they have deadlines.  A cell
that cannot run costs its own scenarios, which are then `miss`, and nothing else.  An interrupted run keeps what it
reached and misses the rest.
"""

from __future__ import annotations

import itertools
import os
import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from worldswitch.harness import junit, platforms, probes
from worldswitch.harness.catalogue import Scenario
from worldswitch.harness.cell_name import CellName
from worldswitch.harness.collect import Problem, collect
from worldswitch.harness.environment import Environment, Missing
from worldswitch.harness.host import Host
from worldswitch.harness.ledger import Absent, Ledger, Watcher
from worldswitch.harness.outcome import CellOutcome
from worldswitch.harness.request import CouldNotRun, Request
from worldswitch.harness.verdict import Verdict


def new_folder(parent: Path) -> Path:
    """A new folder for a run's results."""
    folder = parent / f"{time.strftime('%Y%m%dT%H%M%S')}-{uuid.uuid4().hex[:4]}"
    try:
        folder.mkdir(parents=True)
    except OSError as problem:
        raise CouldNotRun(
            f"results cannot go to {folder}: {problem.strerror}; name another place by --results"
        ) from problem
    return folder


def absent(scenarios: Iterable[Scenario]) -> dict[Verdict, Absent]:
    """What these scenarios need and this machine does not have, or this user may not do on it, whatever a profile says.

    What root may not do is another matter: then somebody confined this machine, and nobody said so.
    """
    needs = {need for scenario in scenarios for need in scenario.needs}
    states = {need: probes.probe(need).state for need in needs}
    lacking = frozenset(need for need in needs if states[need] == "no")
    forbidden = frozenset(need for need in needs if states[need] == "denied" and os.geteuid() != 0)
    return {
        Verdict.UNSUPPORTED: Absent(lacking, "this machine does not have what they need"),
        Verdict.BLOCKED: Absent(forbidden, "this user may not do what they need"),
    }


@dataclass
class Run:
    """One run; its outcomes grow as it goes."""

    request: Request
    scenarios: Sequence[Scenario]
    folder: Path
    watcher: Watcher
    outcomes: list[CellOutcome] = field(default_factory=list)
    absent: Mapping[Verdict, Absent] = field(default_factory=dict)
    interrupted: bool = False

    def go(self) -> None:
        """Run every cell, and write the run's JUnit XML."""
        # Before there are cells: a probe ends whatever new process it finds below this one, and cells are below it.
        self.absent = absent(self.scenarios)
        try:
            with self.request.places(self.watcher.say) as plan:
                for place, platform in itertools.product(plan, self.request.platforms):
                    self.outcomes.append(self._cell(place, platform))
        except KeyboardInterrupt:
            self.interrupted = True
        junit.write(self.outcomes, self.folder / "junit.xml")

    def _cell(self, place: Environment | Missing, platform: str) -> CellOutcome:
        cell = CellName(place.name, platform)
        self.watcher.cell_starts(cell)
        known = {scenario.name: scenario for scenario in self.scenarios}
        expected = (*place.expectations, *platforms.expected_of(platform))
        ledger = Ledger(cell, expected, known, self._absent_in(place), self.folder / cell.file, self.watcher)
        if self.interrupted:
            return ledger.close(Problem("the run was interrupted before"))
        if isinstance(place, Missing):
            return ledger.close(Problem(place.reason, place.remedy))
        arguments = self.request.arguments(cell, place.facts)
        try:
            silence = self.request.silence(self.scenarios)
            return ledger.close(collect(place, arguments, silence, ledger.take, ledger.begin))
        except KeyboardInterrupt:
            self.interrupted = True
            return ledger.close(Problem("the run was interrupted"))

    def _absent_in(self, place: Environment | Missing) -> Mapping[Verdict, Absent]:
        """What cannot be had in a place; in a container it is not this user who acts, and the profile says the rest."""
        everywhere = (verdict for verdict in self.absent if place.name == Host.name or verdict is Verdict.UNSUPPORTED)
        return {verdict: self.absent[verdict] for verdict in everywhere}
