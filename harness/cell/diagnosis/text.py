"""What a failed trial left, as lines for people: its last events, and who was there."""

from __future__ import annotations

import re
from collections.abc import Iterator

from worldswitch.harness.cell.diagnosis import events as flight_text
from worldswitch.harness.cell.diagnosis.model import Diagnosis, ProcessSnapshot, ThreadSnapshot

#: So many of the last events say how it came; the results have more.
EVENTS = 16


#: Where each thread stood, faulthandler tells down to the bottom; who looks for a hang wants the top.
_PYTESTS_OWN_FRAMES = re.compile(r'^  File ".*/(?:pluggy|_pytest|xdist|execnet)/.*\n?', re.MULTILINE)


def output(text: str) -> str:
    """What a trial printed, the stacks of its threads without pytest's own frames."""
    return _PYTESTS_OWN_FRAMES.sub("", text)


def events(diagnosis: Diagnosis | None, last: int = EVENTS) -> list[str]:
    """The last events, the oldest first."""
    if diagnosis is None or not diagnosis.events:
        return []
    shown = diagnosis.events[-last:]
    before = diagnosis.forgotten + len(diagnosis.events) - len(shown)
    return [*([f"... {before} events before"] if before else []), *map(flight_text.line, shown)]


def processes(diagnosis: Diagnosis | None, *, whole: bool = False) -> list[str]:
    """A line a thread, under one for its process; `whole` has the kernel's stacks and the mappings too."""
    return [line for process in (diagnosis.processes if diagnosis else ()) for line in _process(process, whole=whole)]


def _process(process: ProcessSnapshot, *, whole: bool) -> Iterator[str]:
    more = f" ({process.left_out})" if process.left_out else ""
    yield f"process {process.pid} {process.name}, child of {process.parent}{more}"
    for thread in process.threads:
        yield f"  {_thread(thread)}"
        if whole:
            yield from (f"    {frame}" for frame in thread.stack)
            if said := ", ".join(f"{key} {value}" for key, value in thread.status.items() if value.strip("0 ")):
                yield f"    {said}"
    if whole:
        yield from (f"  {mapping}" for mapping in process.maps)


def _thread(thread: ThreadSnapshot) -> str:
    said = (
        f"thread {thread.tid} {thread.name}: {thread.state}",
        f"traced by {thread.tracer}" if thread.tracer else "",
        f"in {thread.syscall}" if thread.syscall not in ("", "running") else "",
        f"waits in {thread.wchan}" if thread.wchan else "",
    )
    return ", ".join(filter(None, said))
