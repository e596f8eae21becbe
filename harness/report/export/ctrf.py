"""Exports a run in the Common Test Report Format, one JSON document for CI systems and dashboards.

CTRF has fewer statuses than there are verdicts; the verdict is in `rawStatus`.

    as expected     pass: `passed`; any other verdict: `skipped`
    not expected    error, miss: `other`; any other verdict: `failed`
"""

from __future__ import annotations

from typing import Any

import msgspec

from worldswitch.harness.expectations.outcome import Judged, tally
from worldswitch.harness.legible import legibly
from worldswitch.harness.results.reader import KeptCell, KeptRun
from worldswitch.harness.verdict import Verdict

SPECIFICATION = "1.0.0"


def text(run: KeptRun) -> str:
    """Return the document as JSON."""
    return msgspec.json.format(msgspec.json.encode(legibly(report(run))), indent=1).decode() + "\n"


def report(run: KeptRun) -> dict[str, Any]:
    """Return the document as plain values."""
    tests = [_test(cell, one) for cell in run.cells for one in cell.judged]
    unsound = [cell for cell in run.cells if cell.problem and cell.problem.unexpected]
    tests += [_wrong(str(cell.name), cell.problem.reason) for cell in unsound if cell.problem]
    tests += [_wrong(one.rule, one.why) for one in run.manifest.stale]
    statuses = [test["status"] for test in tests]
    begun = run.manifest.started
    stop = run.manifest.finished or max([begun, *(cell.plan.finished or begun for cell in run.cells)])
    counts = {status: statuses.count(status) for status in ("passed", "failed", "skipped", "pending", "other")}
    return {
        "reportFormat": "CTRF",
        "specVersion": SPECIFICATION,
        "runId": run.manifest.run,
        "generatedBy": "worldswitch",
        "results": {
            "tool": {"name": "worldswitch", "version": run.manifest.versions.get("worldswitch", "")},
            "summary": {
                "tests": len(tests),
                **counts,
                "suites": len(run.cells),
                "start": round(begun * 1000),
                "stop": round(stop * 1000),
            },
            "tests": tests,
            "environment": {"osPlatform": "linux", "osVersion": run.manifest.kernel, "extra": _extra(run)},
        },
    }


def _extra(run: KeptRun) -> dict[str, Any]:
    problems = {str(cell.name): cell.problem.reason for cell in run.cells if cell.problem}
    return {"seed": run.manifest.seed, "tally": str(tally(run.outcomes)), "problems": problems}


def _test(cell: KeptCell, one: Judged) -> dict[str, Any]:
    trial, judgement = one.trial, one.judgement
    family, _, name = trial.scenario.partition("::")
    fields = {
        "testId": f"{cell.name}::{trial.scenario}",
        "name": name,
        "status": _status(one),
        "rawStatus": trial.verdict.value,
        "duration": round(trial.seconds * 1000),
        "suite": [str(cell.name), family],
        "tags": list(trial.ids),
        "message": trial.reason or ("" if judgement.expected else str(judgement)),
        "trace": trial.detail,
        "stdout": trial.output.splitlines(),
    }
    expected = {"expected": sorted(verdict.value for verdict in judgement.wanted), "because": judgement.reason}
    return {key: value for key, value in fields.items() if value not in ("", [])} | {"extra": expected}


def _wrong(name: str, reason: str) -> dict[str, Any]:
    """A problem of a cell or a stale rule as a failed test, so that consumers do not report the run as green."""
    return {"name": name, "status": "failed", "duration": 0, "message": reason}


def _status(one: Judged) -> str:
    if one.judgement.expected:
        return "passed" if one.trial.verdict is Verdict.PASS else "skipped"
    return "failed" if one.trial.verdict.is_verdict else "other"
