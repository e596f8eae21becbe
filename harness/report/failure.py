"""The text that a run prints about an unexpected verdict."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.text import Text

from worldswitch.harness.cell.diagnosis import text
from worldswitch.harness.cell_name import CellName
from worldswitch.harness.expectations.outcome import Judged
from worldswitch.harness.report.console import STYLES
from worldswitch.harness.run import repro
from worldswitch.harness.run.request import Request

LINES = 40  #: the last lines of a long text; the results have all of it


def failure(cell: CellName, judged: Judged, request: Request, folder: Path | None = None) -> Text:
    """The block of text on one unexpected verdict: the claim, the evidence, and the commands that repeat the trial."""
    trial = judged.trial
    head = f"{trial.verdict.value.upper()} {' '.join(trial.ids)} {trial.scenario} in {cell}"
    block = Text(f"\n{head}", style=STYLES[trial.verdict])
    parts = (
        ("claim", [trial.claim]),
        ("verdict", [f"{trial.verdict.value}, {judged.judgement} ({trial.seconds:.1f} s)"]),
        ("reason", trial.reason.splitlines()),
        ("assertion", _end(trial.detail.splitlines())),
        ("transcript", _end(trial.transcript)),
        ("events", text.events(trial.diagnosis)),
        ("processes", text.processes(trial.diagnosis)),
        ("output", _end(text.output(trial.output).splitlines())),
        ("again", [repro.command(cell, trial.scenario, folder)] if folder else []),
        ("same as", [request.again(cell, trial.scenario)]),
    )
    for name, lines in parts:
        if lines:
            block.append(f"\n  {name:<11}" + f"\n  {'':<11}".join(lines), style="default")
    return block


def _end(lines: Sequence[str]) -> Sequence[str]:
    left_out = len(lines) - LINES
    return lines if left_out <= 0 else [f"... {left_out} earlier lines", *lines[-LINES:]]
