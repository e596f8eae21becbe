"""One cell, from its start to its end: its records as they come, and what went wrong if it did not end well.

What ends a cell early, and what is said then:

    it cannot be started             the environment's own words
    no record for too long           the cell is killed: each trial has a deadline of its own, so the cell itself hangs
    its output ends without footer   it died, or could not run: its exit status and the end of its log
    a record that cannot be          the cell is killed: nothing it says can be believed
    what it runs on is lost          why, and the end of what that said
    a record that cannot be kept     the cell is killed: what it says would be lost
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Sequence

import msgspec

from worldswitch.harness.cell import records
from worldswitch.harness.cell.records import REFUSAL, Began, Footer, Header, Record, Word
from worldswitch.harness.environments.protocol import Cell, Environment, Lost
from worldswitch.harness.errors import Unobtainable
from worldswitch.harness.expectations.outcome import Problem
from worldswitch.harness.results.errors import MAKE_ROOM, CannotWrite, Damaged, ResultError

END_SECONDS = 30.0  #: from the footer, or the end of the output, to the end of the cell's process
LOG_LINES = 30


class _Silence(Exception):
    """No record came for too long."""


def collect(
    environment: Environment,
    arguments: Sequence[str],
    silence: float,
    take: Callable[[Record], None],
    begins: Callable[[str], None] = lambda _: None,
) -> Problem | None:
    """Run a cell and give each of its records to `take`; `silence` is how many seconds it may say nothing.

    `begins` is told the scenario of each trial that begins.
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
    ended = False
    try:
        for record in _records(cell, silence):
            _check(record, ended)
            if isinstance(record, Began):
                begins(record.scenario)
                continue
            take(record)
            ended = isinstance(record, Footer)
        status = cell.wait(END_SECONDS)
    except _Silence:
        return Problem(f"the cell said nothing for {silence:g} s and was ended", log=_tail(cell))
    except TimeoutError as problem:
        return Problem(f"the cell has said its last word, but {problem}", log=_tail(cell))
    except Lost as problem:
        return Problem(str(problem), log=_tail(cell))
    except CannotWrite as problem:
        return Problem(str(problem), MAKE_ROOM)
    except (ResultError, msgspec.MsgspecError) as problem:
        return Problem(f"the cell's results cannot be believed: {problem}", log=_tail(cell))
    except OSError as problem:
        return Problem(f"the cell's output could not be read: {problem}", log=_tail(cell))
    if ended and status == 0:
        return None
    _, refused, reason = cell.log.rpartition(REFUSAL)
    if refused:
        return Problem(reason.strip())
    return Problem(f"the cell ended with status {status} before its results were whole", log=_tail(cell))


def _check(record: Word, ended: bool) -> None:
    if ended:
        raise Damaged("something follows the footer")
    if isinstance(record, Header) and record.format != records.FORMAT:
        raise Damaged(f"format {record.format} where this harness speaks {records.FORMAT}")


def _records(cell: Cell, silence: float) -> Iterator[Word]:
    """The cell's records, read in a thread so that waiting for the next has an end."""
    waiting: queue.SimpleQueue[Word | Exception | None] = queue.SimpleQueue()

    def read() -> None:
        try:
            for record in records.unframe(cell.frames(), noise=lambda _: None):
                waiting.put(record)
            waiting.put(None)
        except Exception as problem:  # raised again by the thread that waits
            waiting.put(problem)

    threading.Thread(target=read, daemon=True).start()
    while True:
        try:
            item = waiting.get(timeout=silence)
        except queue.Empty:
            raise _Silence from None
        if item is None:
            return
        if isinstance(item, Exception):
            raise item
        yield item


def _tail(cell: Cell) -> str:
    return "\n".join(cell.log.splitlines()[-LOG_LINES:])
