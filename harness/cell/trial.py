"""One trial of a scenario in a process of its own, and its verdict.

    the body returned                its result
    ... but a process outlived it    `fail` instead of a pass or skip; a failure gets a second reason
    the process died                 `crash`
    the deadline passed              `timeout`

`worldswitch.harness.cell.attribution` decides the body's result.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import msgspec

from worldswitch.harness.cell.diagnosis import events
from worldswitch.harness.cell.diagnosis.model import Diagnosis
from worldswitch.harness.cell.supervisor import Ending, supervise
from worldswitch.harness.cell.transcript import Transcript
from worldswitch.harness.flight import Recorder
from worldswitch.harness.verdict import Verdict


class Result(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The result of a trial; `assertion` is true iff the scenario's own assertion failed."""

    verdict: Verdict
    reason: str = ""
    assertion: bool = False
    out_of_time: bool = False  #: a bound of time passed: one of the scenario's, or that for processes to end
    detail: str = ""  #: pytest's report of the failure
    output: str = ""
    transcript: tuple[str, ...] = ()
    seconds: float = 0.0
    diagnosis: Diagnosis | None = None
    attempts: tuple[str, ...] = ()  #: the reasons of earlier attempts, see `worldswitch.harness.cell.attempts`


def run(body: Callable[[Transcript, Recorder], Result], deadline: float) -> Result:
    """Run `body` for at most `deadline` seconds and return its result, or a crash or time-out."""
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


#: The verdicts without a diagnosis.
_UNDIAGNOSED = (Verdict.PASS, Verdict.UNSUPPORTED, Verdict.BLOCKED)


def _diagnosis(result: Result, ending: Ending, recorder: Recorder, begin: float) -> Diagnosis | None:
    """The last events, and the processes as the trial saw them at its failure, else as the supervisor did."""
    noted, forgotten = recorder.read()
    seen = result.diagnosis or Diagnosis(processes=ending.processes, moment=ending.moment)
    found = msgspec.structs.replace(seen, events=tuple(events.decode(noted, begin)), forgotten=forgotten)
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
    description = events.status(status)
    return f"was {description}" if os.WIFSIGNALED(status) else description


def _strict(result: Result, strays: tuple[str, ...]) -> Result:
    if not strays:
        return result
    left = f"left behind: {', '.join(strays)}"
    if result.verdict in (Verdict.PASS, Verdict.UNSUPPORTED, Verdict.BLOCKED):
        return Result(verdict=Verdict.FAIL, reason=left, out_of_time=True)
    return msgspec.structs.replace(result, reason=f"{result.reason}; {left}")
