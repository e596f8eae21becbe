"""`bench compare` reports only differences beyond the noise, and calls the others inconclusive."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from worldswitch.harness.bench import compare_text, comparison, noise, ratios, results_file
from worldswitch.harness.bench.comparison import RatioVerdict
from worldswitch.harness.bench.messages import Measured
from worldswitch.harness.bench.ratios import Estimate
from worldswitch.harness.bench.results_file import Results, ResultsWriter, Series, UnlikeMachines
from worldswitch.harness.cell.probes import fingerprint
from worldswitch.harness.cli import main
from worldswitch.harness.expectations.outcome import Status

MACHINE = fingerprint.take(None)
NAME = "switch::fault"


def samples(count: int, scale: float = 1.0, seed: int = 1) -> list[float]:
    """Skewed latencies that scatter by a few per cent."""
    drawn = random.Random(seed)
    return [scale * 1e-5 * drawn.lognormvariate(0, 0.03) for _ in range(count)]


def results(values: list[float], name: str = NAME, unit: str = "second", taken: float = 0.0) -> Results:
    series = Series(name, unit, {number: (value,) for number, value in enumerate(values)})
    return Results(Path("made-up"), MACHINE, {name: series}, taken=taken)


def verdict(before: Results, after: Results) -> RatioVerdict:
    (row,) = comparison.compare(before, after)
    return row.verdict


@pytest.mark.parametrize(
    ("ratio", "expected"),
    [
        (Estimate(1.10, 1.05, 1.15), RatioVerdict.SLOWER),
        (Estimate(1.10, 1.03, 1.15), RatioVerdict.INCONCLUSIVE),
        (Estimate(0.90, 0.85, 0.95), RatioVerdict.FASTER),
        (Estimate(0.90, 0.85, 0.97), RatioVerdict.INCONCLUSIVE),
        (Estimate(1.00, 0.99, 1.01), RatioVerdict.INCONCLUSIVE),
        (Estimate(1.50, 0.00, float("inf")), RatioVerdict.INCONCLUSIVE),
    ],
)
def test_the_whole_interval_must_be_beyond_the_threshold(ratio: Estimate, expected: RatioVerdict) -> None:
    assert comparison.verdict_of(ratio, 0.04) is expected


def test_clear_differences_are_slower_or_faster() -> None:
    usual, slow = results(samples(30)), results(samples(30, 1.2, seed=2))
    assert verdict(usual, slow) is RatioVerdict.SLOWER
    assert verdict(slow, usual) is RatioVerdict.FASTER
    assert verdict(usual, results(samples(30, seed=3))) is RatioVerdict.INCONCLUSIVE


def test_few_rounds_are_inconclusive() -> None:
    (row,) = comparison.compare(results(samples(5)), results(samples(5, 2.0)))
    assert row.verdict is RatioVerdict.INCONCLUSIVE
    assert list(compare_text.table([row]).columns[4].cells) == ["too few rounds"]


def test_the_numbers_of_rounds_may_differ() -> None:
    assert verdict(results(samples(60)), results(samples(57, seed=2))) is RatioVerdict.INCONCLUSIVE


def test_drift_raises_the_floor_and_makes_differences_inconclusive() -> None:
    drifting = [value * (1 + 0.3 * (number > 15)) for number, value in enumerate(samples(30))]
    assert noise.floor([samples(30)]) < 0.02
    assert 0.15 < noise.floor([drifting]) < 0.3
    assert verdict(results(drifting), results([1.15 * value for value in drifting])) is RatioVerdict.INCONCLUSIVE


def test_the_floor_includes_cpu_time_taken_by_others() -> None:
    assert comparison.floor_of(results(samples(30), taken=0.25), "switch") == pytest.approx(1 / 3)
    assert verdict(results(samples(30)), results(samples(30, 1.2), taken=0.25)) is RatioVerdict.INCONCLUSIVE


def test_counts_have_no_floor() -> None:
    before, after = (results([value] * 6, "counted::x.stops", "integer") for value in (1.0, 2.0))
    (row,) = comparison.compare(before, after)
    assert (row.verdict, row.label) == (RatioVerdict.SLOWER, "more")


def test_rounds_needed_grow_with_the_scatter_up_to_a_limit() -> None:
    some = noise.rounds_needed(samples(30), 0.03)
    wide = [value**2 for value in samples(30)]
    assert some is not None
    assert (noise.rounds_needed(wide, 0.03) or 0) > 2 * some
    assert noise.rounds_needed(samples(30), 0.10) is None
    assert noise.rounds_needed([value**60 for value in samples(30)], 0.03) is None


def test_ratios_are_made_within_rounds() -> None:
    drift = [1, 5, 2, 9, 3, 7, 1]
    above, below = ({number: factor * value for number, value in enumerate(drift)} for factor in (1.3, 1.0))
    assert ratios.of_pairs(above, below) == Estimate(*[pytest.approx(1.3)] * 3)  # type: ignore[arg-type]
    assert ratios.of_pairs({0: 2.0, 1: 9.0}, {0: 1.0, 2: 4.0}).middle == 2
    with pytest.raises(ValueError, match="no round"):
        ratios.of_pairs({0: 1.0}, {1: 1.0})


def test_unlike_machines_are_compared_only_by_anyway() -> None:
    here, there = results(samples(8)), results(samples(8))
    there = replace(there, fingerprint=other())
    with pytest.raises(UnlikeMachines, match=r"kernel: .* and Linux 2\.2"):
        list(comparison.compare(here, there))
    assert list(comparison.compare(here, there, anyway=True))


def other() -> fingerprint.Fingerprint:
    return msgspec.structs.replace(MACHINE, kernel="Linux 2.2")


def written(folder: Path, values: list[float], name: str = NAME, machine: fingerprint.Fingerprint = MACHINE) -> str:
    writer = ResultsWriter("reference")
    for number, value in enumerate(values):
        writer.take([Measured(name, 1, (value,))], number, {})
    folder.mkdir()
    writer.write(folder / results_file.FILE, machine)
    return str(folder)


@pytest.mark.parametrize(
    ("scale", "status", "word"),
    [
        (1.0, Status.AS_EXPECTED, "inconclusive"),
        (1.3, Status.UNEXPECTED, "slower"),
        (0.7, Status.AS_EXPECTED, "faster"),
    ],
)
def test_the_command_prints_verdicts_and_returns_their_status(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], scale: float, status: Status, word: str
) -> None:
    before, after = written(tmp_path / "a", samples(12)), written(tmp_path / "b", samples(12, scale, seed=2))
    assert main.main(["bench", "compare", before, after]) == status
    assert word in capsys.readouterr().out


def test_the_command_refuses_runs_that_cannot_be_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    here, there = written(tmp_path / "a", samples(6)), written(tmp_path / "b", samples(6), machine=other())
    elsewhere = written(tmp_path / "c", samples(6), "calls::unmap")
    for arguments, reason in [
        ([here, there], "unlike machines"),
        ([here, elsewhere], "no benchmark in common"),
        ([here], "takes two runs"),
        ([here, str(tmp_path / "d")], "cannot be read: No such file"),
    ]:
        assert main.main(["bench", "compare", *arguments]) == Status.COULD_NOT_RUN
        assert reason in capsys.readouterr().err
    assert main.main(["bench", "compare", here, there, "--anyway"]) == Status.AS_EXPECTED


def test_the_advice_has_the_number_of_rounds() -> None:
    (row,) = comparison.compare(results(samples(8)), results(samples(8, seed=2)))
    advice = f"to detect 10 % in every benchmark: --rounds {row.needed} in both runs (for {NAME})"
    assert compare_text.advised([row]) == advice
    assert "the noise is too high to detect 10 %" in compare_text.advised([replace(row, needed=None)])
    assert compare_text.advised([replace(row, needed=8)]) == ""
