"""The baseline: a run made small and read back; what is damaged is refused with the line."""

from __future__ import annotations

from pathlib import Path

import big_run
import msgspec
import pytest

from worldswitch.harness.cli.main import main
from worldswitch.harness.errors import CouldNotRun
from worldswitch.harness.expectations.outcome import Problem, tally
from worldswitch.harness.report.export import ktap
from worldswitch.harness.report.matrix import markdown, views
from worldswitch.harness.results import comparison
from worldswitch.harness.results.baseline import file_format, read, write
from worldswitch.harness.results.errors import Damaged
from worldswitch.harness.results.reader import KeptRun

RUN = big_run.run(kernels=("5.10", "6.12", "7.3"), profiles=("", "hardened", "no-ptrace"), scenarios=120)


def seen(run: KeptRun) -> list[object]:
    """What is kept."""
    return [
        (
            str(cell.name),
            cell.problem.reason if cell.problem else "",
            cell.header and (cell.header.fingerprint.kernel, cell.header.fingerprint.facts),
            sorted(
                (one.trial.scenario, one.trial.ids, one.trial.verdict, one.judgement.expected, one.judgement.wanted)
                for one in cell.judged
            ),
        )
        for cell in run.cells
    ]


def test_a_baseline_is_read_back_as_the_run_it_was(tmp_path: Path) -> None:
    write.keep(RUN, tmp_path)
    back = read.load(tmp_path)
    assert seen(back) == seen(RUN)
    assert tally(back.outcomes) == tally(RUN.outcomes)
    assert (back.manifest.run, back.manifest.seed) == (RUN.manifest.run, 7)
    found = comparison.compare(back, RUN)
    assert {change.kind for change in found.changes} <= {comparison.Kind.STILL}
    assert (found.shifts, found.vanished) == ([], {})


def test_a_cell_that_was_not_sound_stays_so(tmp_path: Path) -> None:
    problem = Problem("the cell's kernel is not sound", unexpected=True)
    write.keep(big_run.kept_run(big_run.kept_cell("linux-7.3", (), problem)), tmp_path)
    assert read.load(tmp_path).cells[0].problem == problem


def test_it_is_small(tmp_path: Path) -> None:
    path = write.keep(RUN, tmp_path)
    trials = sum(len(cell.judged) for cell in RUN.cells)
    assert path.stat().st_size < 3 * trials + 2000 * len(RUN.cells) + 30_000


def test_keeping_it_again_changes_nothing(tmp_path: Path) -> None:
    first = write.keep(RUN, tmp_path / "a").read_bytes()
    assert write.keep(read.load(tmp_path / "a"), tmp_path / "b").read_bytes() == first


def test_it_is_shown_and_exported_as_any_run(tmp_path: Path) -> None:
    write.keep(RUN, tmp_path)
    run = views.read(str(tmp_path))
    assert str(tally(RUN.outcomes)) in markdown.text(run)
    assert ktap.text(run).count("\n") > 500
    assert "no package of 7.3" in views.html(run)


def test_a_run_that_was_cut_off_is_none(tmp_path: Path) -> None:
    cut = KeptRun(RUN.folder, msgspec.structs.replace(RUN.manifest, finished=None), RUN.cells)
    with pytest.raises(CouldNotRun, match="was cut off: a baseline is a whole run"):
        write.keep(cut, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("number", "old", "new", "said"),
    [
        (0, b'"format":1', b'"format":9', ":1: format 9, and this reader knows 1"),
        (0, b'"kind":"baseline"', b'"kind":"odd"', ":1: not a line of a baseline: Invalid value 'odd'"),
        (0, b'"thoughts":[[["pass"],"",""]', b'"thoughts":[], "x":[[["pass"]]', ":1: thoughts: there must be one"),
        (1, b'{"kind":"facts"', b'{"kind":"facts', ":2: not a line of a baseline"),
        (1, b'"number":0', b'"number":99', ": facts 0, and no line before tells them"),
        (-1, b'"verdicts":"M', b'"verdicts":"', "119 verdicts on 120 scenarios"),
        (-1, b'"verdicts":"M', b'"verdicts":"z', "'z' is no verdict's letter"),
        (-1, b'"problem"', b'"thoughts":{"77":"0"},"problem"', "thoughts: the head has 3, and here is another"),
        (-1, b'"problem"', b'"thoughts":{"1":"x"},"problem"', "thoughts: invalid literal"),
        (-1, b'"kind":"cell"', b'"kind":"baseline"', ": not a line of a baseline: Object missing required field"),
    ],
)
def test_what_is_damaged_is_refused(number: int, old: bytes, new: bytes, said: str, tmp_path: Path) -> None:
    path = write.keep(RUN, tmp_path)
    told = path.read_bytes().splitlines()
    assert old in told[number]
    told[number] = told[number].replace(old, new, 1)
    path.write_bytes(b"\n".join(told))
    with pytest.raises(Damaged) as refused:
        read.load(tmp_path)
    assert said in str(refused.value)
    assert str(path) in str(refused.value)


def test_lines_out_of_order_and_an_empty_file_are_refused(tmp_path: Path) -> None:
    path = write.keep(RUN, tmp_path)
    told = path.read_bytes().splitlines()
    path.write_bytes(b"\n".join(told[1:]))
    with pytest.raises(Damaged, match=":1: a facts where none should be"):
        read.load(tmp_path)
    path.write_bytes(b"")
    with pytest.raises(Damaged, match="empty"):
        read.load(tmp_path)


@pytest.mark.parametrize(("numbers", "text"), [([], ""), ([3], "3"), ([0, 1, 2, 5, 7, 8], "0-2 5 7-8")])
def test_numbers_are_kept_as_ranges(numbers: list[int], text: str) -> None:
    assert file_format.ranges(numbers) == text
    assert file_format.numbers(text) == numbers


def test_the_command_keeps_it_and_says_how_it_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("worldswitch.harness.report.matrix.views.read", lambda _: RUN)
    assert main(["baseline", "some-run", "-o", str(tmp_path / "b")]) == 0
    said = capsys.readouterr().out
    assert f"worldswitch diff {tmp_path / 'b'} RUN" in said
    assert said.splitlines()[-1] == str(tally(RUN.outcomes))
    (tmp_path / "file").write_text("")
    assert main(["baseline", "some-run", "-o", str(tmp_path / "file" / "b")]) == 2
    assert "cannot be written" in capsys.readouterr().err
