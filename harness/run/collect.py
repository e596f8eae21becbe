"""Runs one cell from start to end: passes on its records and reports why it did not end properly.

What ends a cell early, and the problem that is reported:

    it cannot be started           the environment's error
    no record for too long         the cell is killed: each trial has its own deadline, so the cell itself hangs
    output ends without footer     its exit status and the end of its log: it died or refused to run
    a defect of this program       its line, and the end of the traceback
    an invalid record              the cell is killed: none of its results can be trusted
    the engine or machine is lost  the cause, and the end of the cell's log
    a record cannot be written     the cell is killed: its results would be lost
"""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable, Iterator, Sequence

import msgspec

from worldswitch.harness.cell import records
from worldswitch.harness.cell.frames import LineTooLong
from worldswitch.harness.cell.records import REFUSAL, Began, Record, Word
from worldswitch.harness.environments.protocol import Cell, Environment, Lost
from worldswitch.harness.errors import Unobtainable
from worldswitch.harness.expectations.outcome import Problem
from worldswitch.harness.results.cell_file import CellStream
from worldswitch.harness.results.errors import MAKE_ROOM, CannotWrite, ResultError

END_SECONDS = 30.0  #: from the end of the output to the exit of the cell's process
LOG_LINES = 30  #: of a cell's log in a problem


class _Silence(Exception):
    """No record came in the seconds of the message."""


def collect(
    environment: Environment,
    arguments: Sequence[str],
    silence: float,
    take: Callable[[Record], None],
    begins: Callable[[str], None] = lambda _: None,
) -> Problem | None:
    """Run a cell; return its problem, or None if it ended properly.

    Each valid record is passed to `take`, the scenario of each trial that begins to `begins`; both are called in this
    thread.  `silence` is the longest time between two records, in seconds.
    """
    try:
        cell = environment.start(arguments)
    except Unobtainable as problem:
        return Problem(problem.reason, problem.remedy, problem.log)
    except OSError as problem:
        return Problem(f"the cell could not be started: {problem}", "see `worldswitch doctor`")
    try:
        return _follow(cell, silence, take, begins)
    finally:
        cell.kill()


def _follow(
    cell: Cell, silence: float, take: Callable[[Record], None], begins: Callable[[str], None]
) -> Problem | None:
    stream = CellStream()
    try:
        for record in _records(cell, silence):
            stream.add(record)
            if isinstance(record, Began):
                begins(record.scenario)
            else:
                take(record)
        status = cell.wait(END_SECONDS)
    except tuple(_REASONS) as problem:
        reason = next(text for kind, text in _REASONS.items() if isinstance(problem, kind))
        remedy, log = (MAKE_ROOM, "") if isinstance(problem, CannotWrite) else ("", _tail(cell))
        return Problem(reason.format(problem), remedy, log)
    if stream.footer and status == 0:
        return None
    before, refused, refusal = cell.log.rpartition(REFUSAL)
    if refused and status == os.EX_SOFTWARE:
        reason, _, trace = refusal.strip().partition("\n")
        return Problem(reason, log=_end(trace))
    if refused:
        return Problem(refusal.strip(), log=_end(before) if "is above" in refusal else "")
    return Problem(f"the cell ended with status {status} before its results were complete", log=_tail(cell))


#: The problem that an exception means; the first class that matches counts (TimeoutError is an OSError).
_REASONS: dict[type[Exception], str] = {
    _Silence: "the cell sent nothing for {} s and was killed",
    TimeoutError: "the cell sent its footer but did not exit: {}",
    Lost: "{}",
    CannotWrite: "{}",
    ResultError: "the cell's results are invalid: {}",
    msgspec.MsgspecError: "the cell's results are invalid: {}",
    RecursionError: "the cell's results are invalid: {}",
    LineTooLong: "the cell's output is invalid: {}",
    OSError: "the cell's output could not be read: {}",
}


def _records(cell: Cell, silence: float) -> Iterator[Word]:
    """Yield the cell's records; a thread reads them, so that the wait for the next one can time out."""
    waiting: queue.SimpleQueue[Word | Exception | None] = queue.SimpleQueue()

    def read() -> None:
        try:
            for record in records.unframe(cell.frames(), noise=lambda _: None):
                waiting.put(record)
            waiting.put(None)
        except Exception as problem:  # raised again in the caller's thread
            waiting.put(problem)

    threading.Thread(target=read, daemon=True).start()
    while True:
        try:
            item = waiting.get(timeout=silence)
        except queue.Empty:
            raise _Silence(f"{silence:g}") from None
        if item is None:
            return
        if isinstance(item, Exception):
            raise item
        yield item


def _tail(cell: Cell) -> str:
    return _end(cell.log)


def _end(log: str) -> str:
    return "\n".join(log.splitlines()[-LOG_LINES:])
