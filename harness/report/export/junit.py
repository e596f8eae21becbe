"""Exports a run as JUnit XML, for CI systems: a test suite per cell, a test case per trial."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from junitparser import Error, Failure, JUnitXml, Skipped, TestCase, TestSuite

from worldswitch.harness.cell_name import CellName
from worldswitch.harness.expectations.outcome import CellOutcome, Judged, Stale
from worldswitch.harness.legible import legible
from worldswitch.harness.run import repro
from worldswitch.harness.verdict import Verdict

SOUND = "the cell itself has no problem"  #: the failing case for a cell's problem, so that the run is not green
CURRENT = "expectations"  #: the failing suite for stale rules


def write(outcomes: Iterable[CellOutcome], path: Path, folder: Path | None = None, stale: Iterable[Stale] = ()) -> None:
    """Write the cells and stale rules of the run in `folder` (by default that of `path`) to `path`."""
    report = JUnitXml("worldswitch")
    for outcome in outcomes:
        report.add_testsuite(_suite(outcome, folder or path.parent))
    if rules := [_wrong(one.rule, CURRENT, one.why) for one in stale]:
        suite = TestSuite(CURRENT)
        suite.add_testcases(rules)
        report.add_testsuite(suite)
    report.update_statistics()  # type: ignore[no-untyped-call]
    report.write(str(path), pretty=True)


def _suite(outcome: CellOutcome, folder: Path) -> TestSuite:
    suite = TestSuite(legible(str(outcome.cell)))
    suite.add_property("platform", legible(outcome.cell.platform))
    if outcome.problem:
        problem = " - ".join(filter(None, (outcome.problem.reason, outcome.problem.remedy)))
        suite.add_property("problem", legible(problem))
    if outcome.problem and outcome.problem.unexpected:
        suite.add_testcase(_wrong(SOUND, str(outcome.cell), outcome.problem.reason))
    for judged in outcome.judged:
        suite.add_testcase(_case(outcome.cell, judged, folder))
    return suite


def _wrong(name: str, class_name: str, reason: str) -> TestCase:
    case = TestCase(legible(name), legible(class_name), 0.0)
    case.result = [Failure(legible(reason))]
    return case


def _case(cell: CellName, judged: Judged, folder: Path) -> TestCase:
    trial = judged.trial
    family, _, sentence = trial.scenario.partition("::")
    case = TestCase(legible(f"{sentence} [{' '.join(trial.ids)}]"), legible(f"{cell}.{family}"), trial.seconds)
    result = _result(judged, repro.command(cell, trial.scenario, folder))
    if result is not None:
        case.result = [result]
        case.system_out = legible("\n".join(trial.transcript))
    return case


def _result(judged: Judged, again: str) -> Error | Failure | Skipped | None:
    """The result: unexpected verdicts, also a pass, are failures or errors; expected ones but pass are skipped."""
    trial, judgement = judged.trial, judged.judgement
    if judgement.expected:
        return None if trial.verdict is Verdict.PASS else Skipped(legible(f"{trial.verdict.value}: {judgement.reason}"))
    kind = Failure if trial.verdict.is_verdict else Error
    result = kind(legible(f"{trial.verdict.value}; {judgement}"), trial.verdict.value)
    result.text = legible("\n\n".join(filter(None, (trial.claim, trial.reason, trial.detail, again))))
    return result
