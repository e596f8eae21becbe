"""Groups unexpected verdicts by cause: one fault of a platform may fail hundreds of scenarios."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from worldswitch.harness.catalogue.scenarios import function_of
from worldswitch.harness.cell.records import Trial
from worldswitch.harness.cell_name import CellName
from worldswitch.harness.expectations.outcome import CellOutcome, Judged, Problem
from worldswitch.harness.verdict import Verdict

#: What differs between two reports of one cause: addresses, and numbers such as pids, times and registers.
_VARIES = re.compile(r"0x[0-9a-fA-F_]+|\b[0-9a-f]{8,}\b|\d+(?:\.\d+)?")

#: Decided by a probe, whose name is the first part of the reason.
_BY_PROBE = (Verdict.BLOCKED, Verdict.UNSUPPORTED)


@dataclass
class FailureGroup:
    """The trials that failed for one cause."""

    verdict: Verdict
    reason: str  #: the first line of the first trial's
    trials: list[tuple[CellName, Judged]] = field(default_factory=list)

    @property
    def cells(self) -> list[str]:
        """The names of the cells."""
        return list(dict.fromkeys(str(cell) for cell, _ in self.trials))

    @property
    def scenarios(self) -> list[tuple[str, str]]:
        """The ids and name of each scenario."""
        return list(dict.fromkeys((" ".join(one.trial.ids), one.trial.scenario) for _, one in self.trials))

    def __str__(self) -> str:
        number = len(self.trials)
        return f"{self.verdict.value.upper()} {number} trial{'' if number == 1 else 's'}: {self.reason}"


def cause(trial: Trial) -> str:
    """Return what the reasons of trials that failed for one cause have in common."""
    if trial.verdict in _BY_PROBE:
        return trial.reason.partition(":")[0]
    return _VARIES.sub("#", first_line(trial))


def first_line(trial: Trial) -> str:
    """Return the first line of a trial's reason; of an unexpected pass, that it passed."""
    lines = trial.reason.split("\n")
    return lines[0].strip() or ("it passed" if trial.verdict is Verdict.PASS else "without a reason")


def groups(outcomes: Iterable[CellOutcome]) -> list[FailureGroup]:
    """Return the unexpected verdicts by cause, the largest group first; without misses that a problem explains."""
    found: dict[tuple[Verdict, str], FailureGroup] = {}
    for cell, one in unexpected(outcomes):
        key = one.trial.verdict, cause(one.trial)
        found.setdefault(key, FailureGroup(one.trial.verdict, first_line(one.trial))).trials.append((cell, one))
    return sorted(found.values(), key=lambda group: (not group.verdict.is_verdict, -len(group.trials)))


def unexpected(outcomes: Iterable[CellOutcome]) -> Iterator[tuple[CellName, Judged]]:
    """Yield each unexpected verdict with its cell, without misses that a cell's problem explains."""
    for outcome in outcomes:
        for one in outcome.unexpected:
            if one.trial.verdict is not Verdict.MISS or not outcome.problem:
                yield outcome.cell, one


def selection(found: Sequence[FailureGroup]) -> str:
    """Return the options that select the scenarios of these groups: an id if the scenario has one, else its name."""
    trials = (one.trial for group in found for _, one in group.trials)
    names = dict.fromkeys(trial.ids[0] if trial.ids else function_of(trial.scenario) for trial in trials)
    return " ".join(f"--id {name}" for name in sorted(names))


def problems(outcomes: Iterable[CellOutcome]) -> dict[Problem, list[str]]:
    """Return the names of the cells that have each problem."""
    found: dict[Problem, list[str]] = {}
    for outcome in outcomes:
        if outcome.problem:
            found.setdefault(outcome.problem, []).append(str(outcome.cell))
    return found
