"""What GitHub Actions is told cannot be forged, and stays within GitHub's bounds."""

from __future__ import annotations

from pathlib import Path

import pytest

from worldswitch.harness.cell.records import Trial
from worldswitch.harness.cell_name import CellName
from worldswitch.harness.expectations.judgement import PASSES, Judgement
from worldswitch.harness.expectations.outcome import CellOutcome, Judged, Stale
from worldswitch.harness.report.export import github
from worldswitch.harness.verdict import Verdict


def cell(*reasons: str) -> CellOutcome:
    trials = (
        Trial(scenario=f"pool::claim_{number}", ids=("PO01",), verdict=Verdict.FAIL, reason=reason)
        for number, reason in enumerate(reasons)
    )
    return CellOutcome(CellName("host"), tuple(Judged(one, Judgement(False, PASSES)) for one in trials), 1.0)


def test_a_reason_cannot_end_its_command_or_begin_another() -> None:
    (line,) = github.commands([cell("a, b: 100 %\r\x1b]0;x")])
    assert line == "::error title=FAIL 1 trial%3A a%2C b%3A 100 %25\\r\\x1b]0;x::in host%0APO01 pool::claim_0"


def test_there_are_no_more_annotations_than_github_shows() -> None:
    lines = github.commands([cell(*(f"cause {chr(97 + number)}" for number in range(24)))])
    assert len(lines) == github.MOST
    assert lines[-1].startswith("::error title=worldswitch%3A more::15 more; see the log. reference misbehaves")
    assert len(github.commands([cell("x" * 9000)])[0]) < github.TITLE + github.MESSAGE


def test_a_stale_rule_is_an_annotation() -> None:
    assert github.commands([cell()], [Stale("x.toml rule 1", "it expired")]) == [
        "::error title=stale rule x.toml rule 1::it expired"
    ]


def test_a_summary_is_cut_at_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(github, "SUMMARY", 20)
    path = tmp_path / "summary.md"
    for text, whole in (
        ("one\ntwo\n", "one\ntwo\n"),
        ("three\nfour\nfive\n", "one\ntwo\nthree\nfour\n"),
        ("more\n", None),
    ):
        github._append(path, text)
        assert path.read_text() == (whole or "one\ntwo\nthree\nfour\n")
