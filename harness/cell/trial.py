"""One trial of a scenario in a process of its own, and its verdict.

    the body returned                its result
    ... but a process outlived it    `fail` instead of a pass or skip; a failure gets a second reason
    the process died                 `crash`
    ... or sent what is no result    `crash`
    the deadline passed              `timeout`

`worldswitch.harness.cell.attribution` decides the body's result.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable

import msgspec

from worldswitch.harness.cell.diagnosis import events
from worldswitch.harness.cell.diagnosis.model import Diagnosis
from worldswitch.harness.cell.forking import integrity
from worldswitch.harness.cell.forking.server import ForkServer, ServerLost
from worldswitch.harness.cell.supervisor import Ending, left_behind
from worldswitch.harness.cell.transcript import Transcript
from worldswitch.harness.flight import Recorder
from worldswitch.harness.legible import legible, legibly
from worldswitch.harness.verdict import Verdict

REASON, DETAIL = 1 << 12, 1 << 16  #: the characters of a reason and of a detail at most

Body = Callable[[bytes, Transcript, Recorder], "Result"]


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


class Trials:
    """Runs trials of `body`, each with the bytes of a request, in children of a process that has called `load`.

    `load` returns a result that is no pass if no trial can run.  It and `body` run only in other processes.
    """

    def __init__(self, load: Callable[[], Result], body: Body, seconds: float) -> None:
        self._load = load
        self._body = body
        self._seconds = seconds  #: the deadline of `load`
        self._server: ForkServer | None = None
        self._loading = Result(verdict=Verdict.PASS)
        self._loaded = False  #: at least once

    def prepare(self) -> Result:
        """Start the server unless there is one that is fit; return the result of loading."""
        failed = self._loading.verdict is not Verdict.PASS
        if failed and (not self._loaded or self._loading.verdict is Verdict.TIMEOUT):
            return self._loading  # it fails always, or would take too long to fail again
        if self._server is not None and not self._server.usable:
            self.close()
        if self._server is None:
            self._start()
        return self._loading

    def _start(self) -> None:
        self._transcript, self._recorder = Transcript(), Recorder()
        self._server = ForkServer(self._load_platform, self._run_body)
        try:
            self._loading = _decoded(self._server.ready(self._seconds).encode())
            left = left_behind(self._server.others)
        except ServerLost as problem:
            late = "within" in str(problem)
            reason = f"the process that loads the platform is lost: {problem}"
            self._loading = Result(verdict=Verdict.TIMEOUT if late else Verdict.CRASH, reason=reason)
            left = ()
        self._loading = _legible(msgspec.structs.replace(_strict(self._loading, left), output=self._server.output()))
        self._loaded = self._loaded or self._loading.verdict is Verdict.PASS
        if self._loading.verdict is not Verdict.PASS:
            self.close()

    def run(self, request: bytes, deadline: float) -> Result:
        """Run a trial for at most `deadline` seconds and return its result, or a crash or time-out."""
        for _ in range(2):
            if (loading := self.prepare()).verdict is not Verdict.PASS:
                return loading
            assert self._server is not None
            self._transcript.clear()
            self._recorder.clear()
            try:
                ending = self._server.supervise(_BEGIN.pack(self._transcript.begin) + request, deadline)
            except ServerLost as problem:  # no trial began
                lost = str(problem)
                self.close()
                continue
            return self._judged(ending, deadline)
        return Result(verdict=Verdict.CRASH, reason=f"the process that loads the platform is lost: {lost}")

    def _load_platform(self) -> str:
        """Load the platform in the server's process."""
        self._parts = integrity.parts()
        return msgspec.json.encode(_bounded(self._intact(self._load()))).decode()

    def _intact(self, result: Result) -> Result:
        """Return `result`, or a failure if the platform changed what decides it."""
        replaced = integrity.changed(self._parts)
        return Result(verdict=Verdict.FAIL, reason=f"the platform replaced {replaced}") if replaced else result

    def _run_body(self, request: bytes) -> bytes:
        """Run the body in the trial's process."""
        (self._transcript.begin,) = _BEGIN.unpack_from(request)
        result = self._body(request[_BEGIN.size :], self._transcript, self._recorder)
        return msgspec.json.encode(_bounded(self._intact(result)))

    def _judged(self, ending: Ending, deadline: float) -> Result:
        result = _strict(_result(ending, deadline), ending.strays)
        if ending.payload is None or ending.strays or ending.status != 0:
            self.close()  # what broke the trial may have changed its server too
        return _legible(
            msgspec.structs.replace(
                result,
                output=ending.output,
                transcript=tuple(self._transcript.lines()),
                seconds=round(ending.seconds, 6),
                diagnosis=None
                if result.verdict in _UNDIAGNOSED
                else _diagnosis(result, ending, self._recorder, self._transcript.begin),
            )
        )

    def close(self) -> None:
        """End the server and all that it started."""
        if self._server is not None:
            self._server.close()
            self._server = None


_BEGIN = struct.Struct("=d")  #: when the trial began, before a request


def run(body: Callable[[Transcript, Recorder], Result], deadline: float) -> Result:
    """Run `body` for at most `deadline` seconds and return its result, or a crash or time-out."""
    trials = Trials(lambda: Result(verdict=Verdict.PASS), lambda _, *ring: body(*ring), 60.0)
    try:
        return trials.run(b"", deadline)
    finally:
        trials.close()


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
    if ending.problem:
        return Result(verdict=Verdict.CRASH, reason=f"the trial's process sent no valid result: {ending.problem}")
    if ending.payload is None:
        return Result(verdict=Verdict.CRASH, reason=f"the trial's process {_how(ending.status)}")
    return _decoded(ending.payload)


#: The verdicts that a trial's own process can reach; the others are seen from outside.
_REACHED = (Verdict.PASS, Verdict.FAIL, Verdict.UNSUPPORTED, Verdict.ERROR)


def _decoded(payload: bytes) -> Result:
    """Return the result in `payload`, which a platform may have forged; a crash if it is none."""
    try:
        result = _bounded(msgspec.json.decode(payload, type=Result))
    except (msgspec.MsgspecError, ValueError, RecursionError) as problem:
        wrong = str(problem)
    else:
        if not (wrong := _impossible(result)):
            return result
    reason = f"the trial's process sent no valid result: {wrong}"
    return Result(verdict=Verdict.CRASH, reason=_cut(reason, REASON))


def _impossible(result: Result) -> str:
    """Return what no trial's process can have found; empty if nothing."""
    if result.verdict not in _REACHED or (result.assertion and result.verdict is not Verdict.FAIL):
        return f"the verdict {result.verdict.value}{', by an assertion' if result.assertion else ''}"
    for process in result.diagnosis.processes if result.diagnosis else ():
        numbers = [process.pid, process.parent]
        numbers += [number for thread in process.threads for number in (thread.tid, thread.tracer)]
        if wrong := [number for number in numbers if not 0 <= number < 1 << 31]:
            return f"a process or thread with the number {wrong[0]}"
    return ""


def _bounded(result: Result) -> Result:
    return msgspec.structs.replace(result, reason=_cut(result.reason, REASON), detail=_cut(result.detail, DETAIL))


def _legible(result: Result) -> Result:
    """Return `result` with its text legible, which a platform or a guest may have written; a pass keeps its notes."""
    if result.verdict is Verdict.PASS:
        return msgspec.structs.replace(result, reason=legible(result.reason), detail=legible(result.detail))
    return msgspec.convert(legibly(msgspec.to_builtins(result)), Result)


def _cut(text: str, most: int) -> str:
    """Return `text` without its middle if it has more than `most` characters, and without lone surrogates."""
    if len(text) > most:
        half = most // 2
        text = f"{text[:half]}\n... {len(text) - 2 * half} characters ...\n{text[-half:]}"
    return text.encode(errors="backslashreplace").decode()


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
