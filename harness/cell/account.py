"""A failure as a text for people."""

from __future__ import annotations

from worldswitch.harness.catalogue import scenarios as catalogue
from worldswitch.harness.cell.diagnosis import text as diagnosis_text
from worldswitch.harness.cell.settings import Settings
from worldswitch.harness.cell.trial import Result

#: How many lines of a transcript are shown; the results have all.
TOLD = 100


def account(scenario: catalogue.Scenario, result: Result, settings: Settings) -> str:
    """A failed trial, for people."""
    parts = [
        ("claim", f"{' '.join(scenario.ids)}: {scenario.claim}"),
        ("assertion" if result.assertion else "raised", result.detail),
        ("transcript", "\n".join(result.transcript[-TOLD:])),
        ("events", "\n".join(diagnosis_text.events(result.diagnosis))),
        ("processes", "\n".join(diagnosis_text.processes(result.diagnosis))),
        ("output", diagnosis_text.output(result.output)),
        ("again", settings.again(scenario)),
    ]
    told = (f"--- {title} ---\n{text.rstrip()}" for title, text in parts if text.strip())
    return "\n".join((f"{result.verdict.value}: {result.reason}", *told))
