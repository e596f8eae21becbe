"""A diagnosis as lines of text: the last events and the processes."""

from __future__ import annotations

import re
from collections.abc import Iterator

from worldswitch.harness.cell.diagnosis.events import line
from worldswitch.harness.cell.diagnosis.model import Diagnosis, ProcessSnapshot, ThreadSnapshot

EVENTS = 16  #: the number of events shown; the results have more

#: faulthandler prints whole stacks; only the innermost frames help to find a hang.
_PYTEST_FRAMES = re.compile(r'^  File ".*/(?:pluggy|_pytest|xdist|execnet)/.*\n?', re.MULTILINE)


def output(text: str) -> str:
    """Return a trial's output, with stacks of threads but without pytest's own frames."""
    return _PYTEST_FRAMES.sub("", text)


def events(diagnosis: Diagnosis | None, last: int = EVENTS) -> list[str]:
    """Return the last events as lines, the oldest first."""
    if diagnosis is None or not diagnosis.events:
        return []
    shown = diagnosis.events[-last:]
    before = diagnosis.forgotten + len(diagnosis.events) - len(shown)
    return [*([f"... {before} events before"] if before else []), *map(line, shown)]


def processes(diagnosis: Diagnosis | None, *, whole: bool = False) -> list[str]:
    """Return a line for each process and thread; with `whole` also kernel stacks and mappings."""
    return [line for process in (diagnosis.processes if diagnosis else ()) for line in _process(process, whole=whole)]


def _process(process: ProcessSnapshot, *, whole: bool) -> Iterator[str]:
    more = f" ({process.left_out})" if process.left_out else ""
    yield f"process {process.pid} {process.name}, child of {process.parent}{more}"
    for thread in process.threads:
        yield f"  {_thread(thread)}"
        if whole:
            yield from (f"    {frame}" for frame in thread.stack)
            if status := ", ".join(f"{key} {value}" for key, value in thread.status.items() if value.strip("0 ")):
                yield f"    {status}"
    if whole:
        yield from (f"  {mapping}" for mapping in process.maps)


def _thread(thread: ThreadSnapshot) -> str:
    parts = (
        f"thread {thread.tid} {thread.name}: {thread.state}",
        f"traced by {thread.tracer}" if thread.tracer else "",
        f"in {thread.syscall}" if thread.syscall not in ("", "running") else "",
        f"waits in {thread.wchan}" if thread.wchan else "",
    )
    return ", ".join(filter(None, parts))
