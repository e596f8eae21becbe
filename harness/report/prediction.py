"""The predicted verdicts of a run beside the observed ones; a disagreement is a finding.

A prediction concerns the filter alone.  A trial that is blocked or unsupported as a rule or an excuse expects is
therefore no disagreement: something other than the filter denies it, such as a missing capability.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from worldswitch.harness.catalogue.scenarios import function_of
from worldswitch.harness.expectations.outcome import Judged
from worldswitch.harness.results.reader import KeptCell, KeptRun
from worldswitch.harness.verdict import Verdict

SKIPPED = (Verdict.BLOCKED, Verdict.UNSUPPORTED)
FAILED = (Verdict.FAIL, Verdict.CRASH, Verdict.TIMEOUT, Verdict.ERROR)
INTERRUPTED = "the run was interrupted"  #: the beginning of a problem's reason
FEW = 12  #: the maximum number of disagreements listed for a cell


@dataclass(frozen=True, slots=True)
class Disagreement:
    """A trial whose verdict is not the predicted one."""

    cell: str
    scenario: str
    ids: str
    predicted: str
    observed: str
    why: str  #: of the prediction
    reason: str  #: of the verdict

    def __str__(self) -> str:
        predicted = f"predicted {self.predicted}{f' ({self.why})' if self.why else ''}"
        return f"{self.ids}: {predicted}, observed {self.observed}{f': {self.reason}' if self.reason else ''}"


def predicted(cell: KeptCell, scenario: str) -> tuple[str, str]:
    """Return the predicted verdict of a trial, empty for none, and the reason."""
    return cell.plan.forecast.of(function_of(scenario)) if cell.plan.forecast else ("", "")


def agrees(cell: KeptCell, one: Judged) -> bool:
    """True if the observed verdict is the predicted one, there is no prediction, or the filter alone does not decide.

    Something else decides if a rule or an excuse expects the verdict, and its probe is one that the filter leaves
    alone, or the one that the prediction names.
    """
    verdict, why = predicted(cell, one.trial.scenario)
    observed = one.trial.verdict
    if not verdict or verdict == observed or (verdict in FAILED and observed in FAILED):
        return True
    if observed not in SKIPPED or not one.judgement.expected or not cell.plan.forecast:
        return False
    probe = _needed(one.trial.reason)
    return verdict in (Verdict.PASS, *SKIPPED) and (probe not in cell.plan.forecast.probes or probe == _needed(why))


def _needed(reason: str) -> str:
    """Return the probe in a reason such as ``needs ptrace: ...``."""
    return reason.removeprefix("needs ").partition(":")[0]


def compared(cell: KeptCell) -> Iterator[Judged]:
    """Yield the trials that have a prediction and an observation; a `miss` is one if the cell was started and died."""
    died = cell.plan.started is not None and not cell.header and not _interrupted(cell)
    for one in cell.judged:
        if predicted(cell, one.trial.scenario)[0] and (died or one.trial.verdict is not Verdict.MISS):
            yield one


def _interrupted(cell: KeptCell) -> bool:
    return cell.problem is not None and cell.problem.reason.startswith(INTERRUPTED)


def disagreements(cell: KeptCell) -> Iterator[Disagreement]:
    """Yield the trials of a cell whose verdicts are not as predicted."""
    for one in compared(cell):
        if not agrees(cell, one):
            verdict, why = predicted(cell, one.trial.scenario)
            trial = one.trial
            ids = " ".join(trial.ids)
            yield Disagreement(str(cell.name), trial.scenario, ids, verdict, trial.verdict.value, why, trial.reason)


def lines(run: KeptRun) -> Iterator[str]:
    """Yield the comparison of each cell that has a forecast; the disagreements first."""
    cells = [(cell, list(disagreements(cell))) for cell in run.cells if cell.plan.forecast]
    for cell, found in cells:
        if found:
            yield f"{cell.name}: {len(found)} verdicts are not as predicted from the filter:"
            yield from (f"  {one}" for one in found[:FEW])
            if len(found) > FEW:
                yield f"  and {len(found) - FEW} more; see the page, or `worldswitch explain`"
    for cell, found in cells:
        if not found:
            yield f"{cell.name}: {counted(cell)}"


def counted(cell: KeptCell) -> str:
    """Return how many verdicts of a cell are as predicted, as text."""
    made = sum(1 for _ in compared(cell))
    wrong = sum(1 for _ in disagreements(cell))
    rest = len(cell.judged) - made
    return f"{made - wrong} of {made} verdicts are as predicted from the filter" + (
        f"; {rest} have no prediction or no verdict" if rest else ""
    )
