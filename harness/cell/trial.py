"""One scenario, once, in a process of its own: from how that process ended to a verdict.

    the body returned            its own result
    ... but something outlived   `fail`, whatever the result was before (a failure keeps its reason too)
    the process died             `crash`
    the deadline passed          `timeout`

What the body returns is decided in `worldswitch.harness.cell.attribution`.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import msgspec

from worldswitch.harness.cell.diagnosis.events import status as ended
from worldswitch.harness.cell.diagnosis.events import told
from worldswitch.harness.cell.diagnosis.model import Diagnosis
from worldswitch.harness.cell.supervisor import Ending, supervise
from worldswitch.harness.cell.transcript import Transcript
from worldswitch.harness.flight import Recorder
from worldswitch.harness.verdict import Verdict


class Result(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What came of a trial.  `assertion` is true iff the scenario's own assertion failed; `detail` is for people."""

    verdict: Verdict
    reason: str = ""
    assertion: bool = False
    detail: str = ""
    output: str = ""
    transcript: tuple[str, ...] = ()
    seconds: float = 0.0
    diagnosis: Diagnosis | None = None


def run(body: Callable[[Transcript, Recorder], Result], deadline: float) -> Result:
    """Run `body` for at most `deadline` seconds; its result, or what became of it."""
    transcript, recorder = Transcript(), Recorder()
    ending = supervise(lambda: msgspec.json.encode(body(transcript, recorder)), deadline)
    result = _strict(_result(ending, deadline), ending.strays)
    return msgspec.structs.replace(
        result,
        output=ending.output,
        transcript=tuple(transcript.lines()),
        seconds=round(ending.seconds, 6),
        diagnosis=None if result.verdict in _UNDIAGNOSED else _diagnosis(result, ending, recorder, transcript.begin),
    )


#: There is nothing to explain.
_UNDIAGNOSED = (Verdict.PASS, Verdict.UNSUPPORTED, Verdict.BLOCKED)


def _diagnosis(result: Result, ending: Ending, recorder: Recorder, begin: float) -> Diagnosis | None:
    """What is known beside the result: of the processes, as the trial itself saw them when it failed, if it did."""
    noted, forgotten = recorder.read()
    seen = result.diagnosis or Diagnosis(processes=ending.scene, moment=ending.moment)
    found = msgspec.structs.replace(seen, events=tuple(told(noted, begin)), forgotten=forgotten)
    return found if found else None


def _result(ending: Ending, deadline: float) -> Result:
    if ending.late:
        return Result(verdict=Verdict.TIMEOUT, reason=f"no outcome within {deadline:g} s")
    if ending.payload is None:
        return Result(verdict=Verdict.CRASH, reason=f"the trial's process {_how(ending.status)}")
    return msgspec.json.decode(ending.payload, type=Result)


def _how(status: int | None) -> str:
    if status is None:
        return "vanished"
    said = ended(status)
    return f"was {said}" if os.WIFSIGNALED(status) else said


def _strict(result: Result, strays: tuple[str, ...]) -> Result:
    if not strays:
        return result
    left = f"left behind: {', '.join(strays)}"
    if result.verdict in (Verdict.PASS, Verdict.UNSUPPORTED, Verdict.BLOCKED):
        return Result(verdict=Verdict.FAIL, reason=left)
    return msgspec.structs.replace(result, reason=f"{result.reason}; {left}")
