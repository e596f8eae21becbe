"""The report of a failed trial in pytest's output."""

from __future__ import annotations

from worldswitch.harness.catalogue.scenarios import Scenario
from worldswitch.harness.cell.diagnosis import text
from worldswitch.harness.cell.settings import Settings
from worldswitch.harness.cell.trial import Result

#: The transcript lines shown; the results have all.
TRANSCRIPT_LINES = 100


def account(scenario: Scenario, result: Result, settings: Settings) -> str:
    """Return the report of a failed trial as text."""
    parts = [
        ("claim", f"{' '.join(scenario.ids)}: {scenario.claim}"),
        ("assertion" if result.assertion else "raised", result.detail),
        ("transcript", "\n".join(result.transcript[-TRANSCRIPT_LINES:])),
        ("events", "\n".join(text.events(result.diagnosis))),
        ("processes", "\n".join(text.processes(result.diagnosis))),
        ("output", text.output(result.output)),
        ("again", settings.repeat_options(scenario)),
    ]
    sections = (f"--- {title} ---\n{part.rstrip()}" for title, part in parts if part.strip())
    return "\n".join((f"{result.verdict.value}: {result.reason}", *sections))
