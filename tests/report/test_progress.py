"""The progress of a run: lines in a log, a table and a bar on a terminal, nothing if it must be silent."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console
from scripted import NAMES, trial

from worldswitch.harness.cell_name import CellName
from worldswitch.harness.expectations.judgement import PASSES, Judgement
from worldswitch.harness.expectations.outcome import CellOutcome, Judged
from worldswitch.harness.report import progress as progress_module
from worldswitch.harness.report.progress import Detail, Progress
from worldswitch.harness.run.request import Request
from worldswitch.harness.verdict import Verdict

CELL = CellName("host", "reference")
PASS = Judged(trial(NAMES[0]), Judgement(True, PASSES))


def log() -> Console:
    return Console(file=io.StringIO(), soft_wrap=True, highlight=False, emoji=False, markup=False)


def said(out: Console) -> str:
    return out.file.getvalue()  # type: ignore[attr-defined,no-any-return]


def fail(name: str, reason: str) -> Judged:
    return Judged(trial(name, Verdict.FAIL, reason=reason), Judgement(False, PASSES))


def wait_for(out: Console, words: Callable[[str], bool]) -> None:
    end = time.monotonic() + 5
    while not words(said(out)) and time.monotonic() < end:
        time.sleep(0.01)


def test_a_log_counts_trials() -> None:
    out = log()
    with Progress(out, Request(seed=7)) as progress:
        progress.cell_starts(CELL)
        progress.cell_plans(CELL, 2)
    assert said(out) == f"{CELL}: 2 trials, seed 7\n"


def test_a_log_names_long_running_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress_module, "TELL_EVERY", 0.02)
    out = log()
    with Progress(out, Request()) as progress:
        progress.cell_starts(CELL)
        progress.cell_plans(CELL, 2)
        for name in NAMES[:2]:
            progress.trial_begins(CELL, name)
        progress.trial_ends(CELL, PASS)
        wait_for(out, lambda text: "running" in text)
    assert f"{CELL}: 1 of 2 done; running: {NAMES[1]} 0 s" in said(out)
    assert f"running: {NAMES[0]}" not in said(out).partition("1 of 2 done")[2]


def test_a_log_is_never_silent_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress_module, "TELL_EVERY", 0.02)
    out = log()
    with Progress(out, Request()) as progress:
        progress.say("booting Linux 5.10 in QEMU, tcg")
        wait_for(out, lambda text: "tcg (0 s)" in text)
        progress.run_plans({CELL: 10, CellName("docker:a"): 10})
        progress.cell_starts(CELL)
        progress.cell_plans(CELL, 10)
        progress.trial_begins(CELL, NAMES[0])
        progress.trial_ends(CELL, PASS)
        wait_for(out, lambda text: "left" in text)
    assert "booting Linux 5.10 in QEMU, tcg ...\n" in said(out)
    assert "1 of 20 done (5 %), about 5 s left\n" in said(out)


def test_an_unexpected_verdict_is_a_line_once_for_each_cause() -> None:
    out = log()
    with Progress(out, Request()) as progress:
        progress.cell_starts(CELL)
        for judged in (fail(NAMES[0], "1 == 2\nmore"), fail(NAMES[1], "3 == 4"), fail(NAMES[2], "it died"), PASS):
            progress.trial_ends(CELL, judged)
    first, second = f"FAIL SG01 {NAMES[0]} in host: 1 == 2\n", f"FAIL TT01 {NAMES[2]} in host: it died\n"
    assert said(out) == first + second


def test_each_trial_is_a_line_if_asked() -> None:
    out = log()
    with Progress(out, Request(), detail=Detail.TRIALS) as progress:
        progress.cell_starts(CELL)
        for judged in (PASS, fail(NAMES[1], "1 == 2"), fail(NAMES[2], "3 == 4")):
            progress.trial_ends(CELL, judged)
    assert [line.partition(" ")[0] for line in said(out).splitlines()] == ["PASS", "FAIL", "FAIL"]


@pytest.mark.parametrize("terminal", [True, False])
def test_nothing_is_printed_if_asked(terminal: bool) -> None:
    out = Console(file=io.StringIO(), force_terminal=terminal, width=80)
    with Progress(out, Request(), detail=Detail.QUIET) as progress:
        progress.say("making the image")
        progress.cell_starts(CELL)
        progress.cell_plans(CELL, 1)
        progress.trial_begins(CELL, NAMES[0])
        progress.trial_ends(CELL, fail(NAMES[0], "x"))
        progress.cell_ends(CellOutcome(CELL, (PASS,), 1.0))
    assert said(out) == ""


def live(width: int, *cells: str) -> list[str]:
    """The live display of a terminal with this width, in which each cell has two passes and a failure."""
    out = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None, emoji=False)
    progress = Progress(out, Request())
    progress.run_plans({CellName(name): 10 for name in cells})
    for name in map(CellName, cells):
        progress.cell_starts(name)
        progress.cell_plans(name, 6)
        for judged in (PASS, PASS, fail(NAMES[1], "x")):
            progress.trial_ends(name, judged)
    with out.capture() as captured:
        out.print(progress._shown())
    return [line.rstrip() for line in captured.get().splitlines()]


def test_a_terminal_shows_a_row_per_cell_a_count_and_a_bar() -> None:
    head, first, second, told, bar = live(120, "host", "docker:hardened")
    assert head.split() == ["cell", "done", "pass", "fail", "s", "running"]
    assert first.split()[:4] == ["host", "3/6", "2", "1"]
    assert second.split()[:4] == ["docker:hardened", "3/6", "2", "1"]
    assert told.startswith("6 of 12 done (50 %), about ")
    assert set(bar) <= set("━╸╺ ")


@pytest.mark.parametrize("width", [60, 80])
def test_a_narrow_terminal_shows_each_row_apart_with_its_counts(width: int) -> None:
    names = [f"linux-{kernel}:docker-default-{end}" for kernel in ("5.10", "6.12") for end in ("one", "two")]
    lines = live(width, *names)
    assert all(len(line) <= width for line in lines)
    rows = [line.split() for line in lines[1:5]]
    assert len({row[0] for row in rows}) == 4
    assert all("3/6" in row and "1" in row for row in rows)


def test_a_terminal_shows_the_step_before_the_first_trial() -> None:
    out = Console(file=io.StringIO(), width=80, force_terminal=True)
    progress = Progress(out, Request())
    assert progress._told() == "starting"
    progress.say("making the image")
    assert progress._told() == "making the image (0 s)"


def test_after_the_last_cell_the_removal_of_environments_is_named() -> None:
    progress = Progress(log(), Request())
    progress.run_plans({CELL: 1})
    progress.cell_starts(CELL)
    assert progress_module.CLOSING not in progress._told()
    progress.cell_ends(CellOutcome(CELL, (PASS,), 1.0))
    assert progress._told() == f"1 of 1 done (100 %), {progress_module.CLOSING}"


@pytest.mark.parametrize(
    ("earlier", "words"),
    [
        (None, "making a disk (40 s), preparing for 40 s; no earlier run tells how long it takes"),
        (220.0, "making a disk (40 s), preparing, about 3 min left before the first cell"),
        (20.0, "making a disk (40 s), preparing for 40 s; an earlier run took 20 s"),
    ],
)
def test_the_preparation_has_an_estimate(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, earlier: float | None, words: str
) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(progress_module, "earlier_preparation", lambda *_: earlier)
    progress = Progress(log(), Request(), tmp_path / "run")
    progress.say("making a disk")
    now[0] += 40.0
    assert progress._told() == words
    progress.cell_starts(CELL)
    assert "preparing" not in progress._told()
