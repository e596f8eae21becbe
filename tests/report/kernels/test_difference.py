"""Kernel differences come from a run's folder, and only from cells under the same profile."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace
from scripted import NAMES, SCENARIOS, Quiet, Scripted, footer, frames, header, place, planner, trial

from worldswitch.harness.cli import main
from worldswitch.harness.environments import plan
from worldswitch.harness.environments.protocol import Environment, Missing
from worldswitch.harness.report.kernels import compare, difference
from worldswitch.harness.report.kernels.difference import KernelChange
from worldswitch.harness.results import reader
from worldswitch.harness.run.request import Request
from worldswitch.harness.run.runner import Run
from worldswitch.harness.verdict import Verdict

FACTS = {"kernel::a": "one", "kernel::b": "same"}


def met(name: str, kernel: str, verdict: Verdict = Verdict.PASS, fact: str = "one", **probes: str) -> Scripted:
    """An environment on a kernel with these probes, facts and verdicts."""
    trials = (trial(NAMES[0], verdict), trial(NAMES[1]))
    head = header([one.scenario for one in trials], **probes)
    print_ = replace(head.fingerprint, kernel=f"Linux {kernel}", facts=FACTS | {"kernel::a": fact})
    return place(name, frames([replace(head, fingerprint=print_), *trials, footer(trials)]))


def keep(folder: Path, monkeypatch: pytest.MonkeyPatch, *places: Environment | Missing) -> None:
    """Write a run's folder."""
    folder.mkdir(parents=True)
    monkeypatch.setattr(plan, "plan", planner(*places))
    Run(Request(), SCENARIOS[:2], folder, Quiet()).go()


OLD = met("linux-6.12:hardened", "6.12.94", sysemu="yes", mseal="no")
NEW = met("linux-7.3:hardened", "7.3.4", Verdict.FAIL, "two", sysemu="yes", mseal="yes")


def test_differing_probes_facts_and_verdicts_are_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keep(tmp_path / "run", monkeypatch, OLD, NEW)
    found = difference.between(reader.read(tmp_path / "run"), "6.12", "7.3")
    assert found is not None
    assert found.kernels == ("Linux 6.12.94", "Linux 7.3.4")
    assert found.probes == (KernelChange("mseal", "no: mseal is no", "yes: mseal is yes"),)
    assert found.facts == (KernelChange("kernel::a", "one", "two"),)
    assert found.verdicts == {"hardened": (KernelChange(NAMES[0], "pass", "fail"),)}


def test_the_cell_without_a_container_is_preferred(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = met("linux-6.12", "6.12.94", mseal="yes"), met("linux-7.3", "7.3.4", mseal="yes")
    keep(tmp_path / "run", monkeypatch, OLD, NEW, *whole)
    found = difference.between(reader.read(tmp_path / "run"), "6.12", "7.3")
    assert found is not None
    assert found.probes == ()
    assert found.facts == ()
    assert list(found.verdicts) == ["", "hardened"]


def test_kernels_under_different_profiles_are_not_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keep(tmp_path / "run", monkeypatch, OLD, met("linux-7.3", "7.3.4"), Missing("linux-7.3:hardened", "gone", "wait"))
    assert difference.between(reader.read(tmp_path / "run"), "6.12", "7.3") is None


def test_cells_without_all_facts_are_not_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Facts that were left out are not facts that do not differ."""
    head = replace(header(NAMES[:1]).fingerprint, kernel="Linux 7.3.4", facts_left_out=True)
    few = place(
        "linux-7.3:hardened", frames([replace(header(NAMES[:1]), fingerprint=head), trial(), footer([trial()])])
    )
    keep(tmp_path / "run", monkeypatch, OLD, few)
    assert difference.between(reader.read(tmp_path / "run"), "6.12", "7.3") is None


# ----------------------------------------------------------------------------------------------------------- command


def test_the_newest_run_with_both_kernels_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    keep(tmp_path / "20260101T000000-0001", monkeypatch, OLD, NEW)
    keep(tmp_path / "20260101T000000-0002", monkeypatch, OLD)
    (tmp_path / "20260101T000000-0003").mkdir()
    (tmp_path / "20260101T000000-0003" / "run.json").write_text("{")
    assert main.main(["kernels", "diff", "6.12", "7.3", "--results", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert f"according to {tmp_path / '20260101T000000-0001'}" in printed
    for words in ("Linux 6.12.94 and Linux 7.3.4", "behaviour, hardened", "kernel::a", "verdicts, hardened", NAMES[0]):
        assert words in printed


def test_a_run_without_both_kernels_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    keep(tmp_path / "run", monkeypatch, OLD)
    assert main.main(["kernels", "diff", "6.12", "7.3", "--run", "run", "--results", str(tmp_path)]) == 2
    assert "its cells with all facts are linux-6.12:hardened" in capsys.readouterr().err
    assert main.main(["kernels", "diff", "6.12", "7.3", "--run", "none", "--results", str(tmp_path)]) == 2
    assert "none: no such folder" in capsys.readouterr().err


def test_a_run_is_made_if_none_has_both_kernels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Request, "scenarios", lambda self: list(SCENARIOS[:2]))
    monkeypatch.setattr(plan, "plan", planner(met("linux-6.12", "6.12.94"), met("linux-7.3", "7.3.4")))
    assert main.main(["kernels", "diff", "6.12", "7.3", "--results", str(tmp_path)]) == 0
    assert "probes, no container: no difference" in capsys.readouterr().out
    monkeypatch.setattr(plan, "plan", planner(Missing("linux-6.12", "no mirror", "wait")))
    assert main.main(["kernels", "diff", "6.12", "9.9", "--results", str(tmp_path)]) == 2
    assert "linux-6.12: no mirror" in capsys.readouterr().err


def test_the_new_run_has_one_scenario() -> None:
    assert len(Request(ids=(compare.SCENARIO,)).scenarios()) == 1
