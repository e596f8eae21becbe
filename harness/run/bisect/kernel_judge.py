"""Judges a kernel for a bisection: boots it and runs one scenario several times.

    good         it passed each time
    bad          it failed, crashed or timed out at least once
    untestable   no verdict: the kernel is not available, does not boot, or lacks what the scenario needs

A fact passes on every kernel whose observation is known; for a fact, good is the observation of the good end, and bad
any other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from worldswitch.harness.catalogue import scenarios
from worldswitch.harness.catalogue.scenarios import Scenario
from worldswitch.harness.cell.records import Header, Record, Trial
from worldswitch.harness.cell_name import CellName
from worldswitch.harness.environments.protocol import Environment, Missing, Say
from worldswitch.harness.errors import Unobtainable
from worldswitch.harness.expectations.outcome import Problem
from worldswitch.harness.run.bisect.search import Answer
from worldswitch.harness.run.collect import collect
from worldswitch.harness.run.request import Request
from worldswitch.harness.verdict import Verdict

BAD = frozenset({Verdict.FAIL, Verdict.TIMEOUT, Verdict.CRASH})
UNOBSERVED = "not observed"  #: prefix of an observation that could not be made


@dataclass(frozen=True, slots=True)
class KernelResult:
    """The answer for one kernel, with a short explanation."""

    kernel: str
    answer: Answer
    explanation: str

    def __str__(self) -> str:
        return f"{self.kernel}: {self.answer.value}: {self.explanation}"


class KernelJudge:
    """Judges kernels by one scenario."""

    def __init__(
        self, scenario: Scenario, request: Request, repeat: int, say: Say, report: Callable[[KernelResult], object]
    ) -> None:
        """Run `scenario` `repeat` times on each kernel, in the one environment of `request`; report each result."""
        self._scenario = scenario
        self._request = request
        self._repeat = repeat
        self._say = say
        self._report = report
        self._is_fact = any(fact.scenario.name == scenario.name for fact in scenarios.facts())
        self._wanted = ""  #: the observation of the good end, if the scenario is a fact

    @property
    def _needed(self) -> tuple[str, ...]:
        """The facts to observe."""
        return (self._scenario.name,) if self._is_fact else ()

    def __call__(self, kernel: str) -> Answer:
        """Return the answer for a kernel."""
        result = self._look(kernel)
        self._report(result)
        return result.answer

    def _look(self, kernel: str) -> KernelResult:
        request = replace(self._request, kernels=(kernel,))
        records: list[Record] = []
        try:
            with request.places(self._say) as plan:
                (place,) = plan
                problem = _run(place, request, self._scenario, self._repeat, records.append, self._needed)
        except Unobtainable as trouble:
            problem = Problem(trouble.reason, trouble.remedy)
        answer, explanation = self._observation(records) if self._is_fact else _verdicts(records)
        return KernelResult(kernel, answer, explanation or (problem.reason if problem else "it sent no verdict"))

    def _observation(self, records: list[Record]) -> tuple[Answer, str]:
        observations = {
            one.fingerprint.facts.get(self._scenario.name, "") for one in records if isinstance(one, Header)
        }
        if len(observations) != 1 or any(not one or one.startswith(UNOBSERVED) for one in observations):
            return Answer.UNTESTABLE, " / ".join(sorted(observations))
        (observation,) = observations
        self._wanted = self._wanted or observation
        return (Answer.GOOD if observation == self._wanted else Answer.BAD), observation


def _verdicts(records: list[Record]) -> tuple[Answer, str]:
    trials = [one for one in records if isinstance(one, Trial)]
    bad = [one for one in trials if one.verdict in BAD]
    if bad:
        reason = (bad[0].reason.splitlines() or [bad[0].verdict.value])[0]
        return Answer.BAD, f"{len(bad)} of {len(trials)} failed: {reason}"
    if trials and all(one.verdict is Verdict.PASS for one in trials):
        return Answer.GOOD, f"{len(trials)} of {len(trials)} passed"
    return Answer.UNTESTABLE, next((f"{one.verdict.value}: {one.reason}" for one in trials), "")


def _run(
    place: Environment | Missing,
    request: Request,
    scenario: Scenario,
    repeat: int,
    take: Callable[[Record], None],
    facts: tuple[str, ...],
) -> Problem | None:
    """Run a scenario `repeat` times, each with another seed; stop at the first problem and return it."""
    if isinstance(place, Missing):
        return Problem(place.reason, place.remedy)
    for turn in range(repeat):
        if place.lane:
            place.lane.open()
        again = replace(request, seed=request.seed + turn)
        arguments = again.arguments(CellName(place.name), place.facts, facts)
        if problem := collect(place, arguments, again.silence([scenario], place.facts), take):
            return problem
    return None
