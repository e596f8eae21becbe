"""Where between two kernels a scenario turns: each of them booted in turn, and the scenario run in it a few times.

    good         it passed each time
    bad          it failed, crashed or ran out of time, once at least
    untestable   no verdict: the kernel cannot be had or does not boot, or lacks what the scenario needs

A fact passes on every kernel whose answer is known.  So with a fact good is the answer of the good end, and bad any
other.
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
UNOBSERVED = "not observed"  #: how the observations begin that are none


@dataclass(frozen=True, slots=True)
class KernelResult:
    """What was seen on one kernel."""

    kernel: str
    answer: Answer
    words: str

    def __str__(self) -> str:
        return f"{self.kernel}: {self.answer.value}: {self.words}"


class KernelJudge:
    """Judges kernels by one scenario."""

    def __init__(
        self, scenario: Scenario, request: Request, repeat: int, say: Say, told: Callable[[KernelResult], object]
    ) -> None:
        """Run `scenario` so often on each kernel, in the one place that `request` names; `told` hears of each."""
        self._scenario = scenario
        self._request = request
        self._repeat = repeat
        self._say = say
        self._told = told
        self._is_fact = any(fact.scenario.name == scenario.name for fact in scenarios.facts())
        self._wanted = ""  #: what the good end says, if this is a fact

    def __call__(self, kernel: str) -> Answer:
        """What a kernel shows."""
        sight = self._look(kernel)
        self._told(sight)
        return sight.answer

    def _look(self, kernel: str) -> KernelResult:
        request = replace(self._request, kernels=(kernel,))
        records: list[Record] = []
        try:
            with request.places(self._say) as plan:
                (place,) = plan
                problem = _run(place, request, self._scenario, self._repeat, records.append)
        except Unobtainable as trouble:
            problem = Problem(trouble.reason, trouble.remedy)
        answer, words = self._observation(records) if self._is_fact else _verdicts(records)
        return KernelResult(kernel, answer, words or (problem.reason if problem else "it said nothing"))

    def _observation(self, records: list[Record]) -> tuple[Answer, str]:
        said = {one.fingerprint.facts.get(self._scenario.name, "") for one in records if isinstance(one, Header)}
        if len(said) != 1 or any(not one or one.startswith(UNOBSERVED) for one in said):
            return Answer.UNTESTABLE, " / ".join(sorted(said))
        (observation,) = said
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
    place: Environment | Missing, request: Request, scenario: Scenario, repeat: int, take: Callable[[Record], None]
) -> Problem | None:
    """Run a scenario so often, each time by another seed, until that cannot be done."""
    if isinstance(place, Missing):
        return Problem(place.reason, place.remedy)
    for turn in range(repeat):
        if place.lane:
            place.lane.open()
        again = replace(request, seed=request.seed + turn)
        arguments = again.arguments(CellName(place.name), place.facts)
        if problem := collect(place, arguments, again.silence([scenario], place.facts), take):
            return problem
    return None
