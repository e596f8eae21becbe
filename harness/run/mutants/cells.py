"""Runs the cells of a campaign, and kills them when it ends."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from worldswitch.harness.catalogue.scenarios import Scenario
from worldswitch.harness.cell.records import Record
from worldswitch.harness.cell_name import CellName
from worldswitch.harness.environments.protocol import Cell, Environment
from worldswitch.harness.run.collect import collect
from worldswitch.harness.run.mutants import fates
from worldswitch.harness.run.mutants.fates import CellReport
from worldswitch.harness.run.request import Request


class Enough(Exception):
    """No further record of a cell is needed."""


def run(
    place: Environment, request: Request, chosen: Sequence[Scenario], watch: Callable[[Record], None]
) -> CellReport:
    """Run these scenarios in one cell, in this order; pass each record to `watch`, which may raise `Enough`."""
    begin = time.monotonic()
    request = replace(request, ids=tuple(one.name for one in chosen))
    arguments = request.arguments(CellName(place.name), place.facts)
    records: list[Record] = []

    def take(record: Record) -> None:
        records.append(record)
        watch(record)

    try:
        problem = collect(place, arguments, request.silence(chosen, place.facts), take)
    except Enough:
        problem = None
    return fates.report(records, request.mutant, problem, time.monotonic() - begin)


@dataclass
class StoppableEnvironment:
    """An environment whose cells are killed on exit, so that an interrupted campaign does not wait for them."""

    _place: Environment
    _cells: list[Cell] = field(default_factory=list)
    _over: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.name, self.facts = self._place.name, self._place.facts
        self.profile, self.lane = self._place.profile, self._place.lane

    def start(self, arguments: Sequence[str]) -> Cell:
        """Start a cell.  Raises `InterruptedError` after exit, and the errors of the environment."""
        if self._over.is_set():
            raise InterruptedError("the campaign has ended")
        cell = self._place.start(arguments)
        with self._lock:
            self._cells.append(cell)
            if not self._over.is_set():
                return cell
        cell.kill()  # it was starting while the others were killed
        raise InterruptedError("the campaign has ended")

    def __enter__(self) -> StoppableEnvironment:
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._over.set()
        for cell in self._cells:
            cell.kill()
