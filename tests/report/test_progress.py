"""The progress of a run."""

from __future__ import annotations

import io
import time

import pytest
from rich.console import Console
from scripted import NAMES, trial

from worldswitch.harness.cell_name import CellName
from worldswitch.harness.expectations.judgement import Judgement
from worldswitch.harness.expectations.outcome import Judged
from worldswitch.harness.report import progress as progress_module
from worldswitch.harness.report.progress import Progress
from worldswitch.harness.run.request import Request

CELL = CellName("host", "reference")


def test_a_log_counts_trials() -> None:
    out = Console(file=io.StringIO(), soft_wrap=True)
    with Progress(out, Request(seed=7)) as progress:
        progress.cell_starts(CELL)
        progress.cell_plans(CELL, 2)
    assert out.file.getvalue() == f"{CELL}: 2 trials, seed 7\n"


def test_a_log_names_long_running_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress_module, "TELL_EVERY", 0.02)
    out = Console(file=io.StringIO(), soft_wrap=True)
    with Progress(out, Request()) as progress:
        progress.cell_starts(CELL)
        progress.cell_plans(CELL, 2)
        for name in NAMES[:2]:
            progress.trial_begins(CELL, name)
        progress.trial_ends(CELL, Judged(trial(NAMES[0]), Judgement(True, frozenset())))
        end = time.monotonic() + 5
        while "running" not in out.file.getvalue() and time.monotonic() < end:
            time.sleep(0.01)
    said = out.file.getvalue()
    assert f"{CELL}: 1 of 2 done; running: {NAMES[1]} 0 s" in said
    assert f"running: {NAMES[0]}" not in said.partition("1 of 2 done")[2]
