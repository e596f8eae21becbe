"""The baseline: a run in a compact file, read back; a damaged file is an error that names the line."""

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
    """The part of a run that the baseline has."""
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
    write.write(RUN, tmp_path)
    back = read.load(tmp_path)
    assert seen(back) == seen(RUN)
    assert tally(back.outcomes) == tally(RUN.outcomes)
    assert (back.manifest.run, back.manifest.seed) == (RUN.manifest.run, 7)
    found = comparison.compare(back, RUN)
    assert {change.kind for change in found.changes} <= {comparison.Kind.STILL}
    assert (found.shifts, found.vanished) == ([], {})


def test_an_unsound_cell_stays_unsound(tmp_path: Path) -> None:
    problem = Problem("the cell's kernel is not sound", unexpected=True)
    write.write(big_run.kept_run(big_run.kept_cell("linux-7.3", (), problem)), tmp_path)
    assert read.load(tmp_path).cells[0].problem == problem


def test_it_is_small(tmp_path: Path) -> None:
    path = write.write(RUN, tmp_path)
    trials = sum(len(cell.judged) for cell in RUN.cells)
    assert path.stat().st_size < 3 * trials + 2000 * len(RUN.cells) + 30_000


def test_writing_it_again_changes_nothing(tmp_path: Path) -> None:
    first = write.write(RUN, tmp_path / "a").read_bytes()
    assert write.write(read.load(tmp_path / "a"), tmp_path / "b").read_bytes() == first


def test_it_is_shown_and_exported_like_any_run(tmp_path: Path) -> None:
    write.write(RUN, tmp_path)
    run = views.read(str(tmp_path))
    assert str(tally(RUN.outcomes)) in markdown.text(run)
    assert ktap.text(run).count("\n") > 500
    assert "no package of 7.3" in views.html(run)


def test_an_incomplete_run_is_rejected(tmp_path: Path) -> None:
    cut = KeptRun(RUN.folder, msgspec.structs.replace(RUN.manifest, finished=None), RUN.cells)
    with pytest.raises(CouldNotRun, match="is incomplete; a baseline needs a run that finished"):
        write.write(cut, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("number", "old", "new", "message"),
    [
        (0, b'"format":1', b'"format":9', ":1: format 9; this version reads format 1"),
        (0, b'"kind":"baseline"', b'"kind":"odd"', ":1: not a line of a baseline: Invalid value 'odd'"),
        (0, b'"thoughts":[[["pass"],"",""]', b'"thoughts":[], "x":[[["pass"]]', ":1: thoughts: must not be empty"),
        (1, b'{"kind":"facts"', b'{"kind":"facts', ":2: not a line of a baseline"),
        (1, b'"number":0', b'"number":99', ": facts 0 are not declared above"),
        (-1, b'"verdicts":"M', b'"verdicts":"', "119 verdicts for 120 scenarios"),
        (-1, b'"verdicts":"M', b'"verdicts":"z', "'z' is not the letter of a verdict"),
        (
            -1,
            b'"problem"',
            b'"thoughts":{"77":"0"},"problem"',
            "thoughts: index 77 is out of range: the head declares 3",
        ),
        (-1, b'"problem"', b'"thoughts":{"1":"x"},"problem"', "thoughts: invalid literal"),
        (-1, b'"problem"', b'"thoughts":{"1":"0-99999999999"},"problem"', "'0-99999999999' is no range of ascending"),
        (-1, b'"problem"', b'"thoughts":{"1":"5-3"},"problem"', "thoughts: '5-3' is no range"),
        (-1, b'"problem"', b'"thoughts":{"1":"3 3"},"problem"', "thoughts: '3' is no range"),
        (0, b'"finished":', b'"finished":0.5,"seed":1,"x":', "finished: 0.500 is before `started`"),
        (0, b'"finished":', b'"finished":1e308,"x":', "Expected `float` <= 253402300800.0 - at `$.finished`"),
        (0, b'"finished":', b'"finished":-1,"x":', "Expected `float` >= 0.0 - at `$.finished`"),
        (-1, b'"kind":"cell"', b'"kind":"baseline"', ": not a line of a baseline: Object missing required field"),
    ],
)
def test_a_damaged_file_is_rejected(number: int, old: bytes, new: bytes, message: str, tmp_path: Path) -> None:
    path = write.write(RUN, tmp_path)
    lines = path.read_bytes().splitlines()
    assert old in lines[number]
    lines[number] = lines[number].replace(old, new, 1)
    path.write_bytes(b"\n".join(lines))
    with pytest.raises(Damaged) as refused:
        read.load(tmp_path)
    assert message in str(refused.value)
    assert str(path) in str(refused.value)


def test_lines_out_of_order_and_an_empty_file_are_rejected(tmp_path: Path) -> None:
    path = write.write(RUN, tmp_path)
    lines = path.read_bytes().splitlines()
    path.write_bytes(b"\n".join(lines[1:]))
    with pytest.raises(Damaged, match=":1: a facts line out of order"):
        read.load(tmp_path)
    path.write_bytes(b"")
    with pytest.raises(Damaged, match="empty"):
        read.load(tmp_path)


@pytest.mark.parametrize(("numbers", "text"), [([], ""), ([3], "3"), ([0, 1, 2, 5, 7, 8], "0-2 5 7-8")])
def test_numbers_are_written_as_ranges(numbers: list[int], text: str) -> None:
    assert file_format.ranges(numbers) == text
    assert file_format.numbers(text, 10) == numbers


def test_the_command_writes_it_and_prints_its_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("worldswitch.harness.report.matrix.views.read", lambda _: RUN)
    assert main(["baseline", "some-run", "-o", str(tmp_path / "b")]) == 0
    out = capsys.readouterr().out
    assert f"worldswitch diff {tmp_path / 'b'} RUN" in out
    assert out.splitlines()[-1] == str(tally(RUN.outcomes))
    (tmp_path / "file").write_text("")
    assert main(["baseline", "some-run", "-o", str(tmp_path / "file" / "b")]) == 2
    assert "cannot be written" in capsys.readouterr().err
