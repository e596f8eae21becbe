"""The report shows what the file has, omits what it does not have, and is self-contained."""

from __future__ import annotations

import itertools
import os
import random
import re
from pathlib import Path

import msgspec
import pytest

from worldswitch.harness.bench import catalogue, make_report, results_file
from worldswitch.harness.bench.messages import Measured
from worldswitch.harness.bench.ratios import Estimate
from worldswitch.harness.bench.report import content, figures, page
from worldswitch.harness.bench.report.content import RatioTarget
from worldswitch.harness.bench.results_file import Results, ResultsWriter, Series, UnlikeMachines
from worldswitch.harness.cell.probes import fingerprint
from worldswitch.harness.cli import main
from worldswitch.harness.expectations.outcome import Status

MACHINE = fingerprint.take(None)
SECONDS = {"limits::getpid": 1e-7, "limits::getpid_filtered": 2e-7, "limits::sysemu_yield": 6e-6}


def recorded(folder: Path, rounds: int = 8) -> Path:
    """Write a file with something for every section."""
    drawn, writer = random.Random(1), ResultsWriter("reference")
    writer.warnings.append("the machine was <loud>")
    writer.absent |= {"peers::runsc": "runsc is not installed", "scale::tracees[1000]": "no more processes"}
    about = {one.name: one.metadata for one in catalogue.benchmarks().values()}
    about["counted::resident.ptrace"] = {"unit": "integer", "subject": "counted", "description": "A round trip."}
    usual = {name: SECONDS.get(name, 1e-5) for name in about}
    usual |= {"counted::resident.ptrace": 3}
    usual |= {"peers::getpid::strace": 9e-5, "peers::getpid::strace/reference": 1e-5, "peers::getpid::native": 1e-7}
    usual |= {"peers_pinned::getpid::proot": 9e-5, "peers_pinned::getpid::proot/reference": 1e-5}
    usual |= {"host/switch::resident_pinned": 1e-5, "docker:hardened/switch::resident_pinned": 1.1e-5}
    del usual["scale::tracees[1000]"]
    for number in range(rounds):
        measured = [
            Measured(name, 1, tuple(value if name.startswith("counted") else value * drawn.lognormvariate(0, 0.02)
                                    for _ in range(20)))
            for name, value in usual.items()
        ]  # fmt: skip
        writer.take(measured, number, about)
    folder.mkdir(exist_ok=True)
    writer.write(folder / results_file.FILE, MACHINE)
    return folder


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = recorded(tmp_path_factory.mktemp("runs") / "a")
    page.write(results_file.read(folder), folder)
    return folder


def test_the_page_has_every_section_and_is_self_contained(report: Path) -> None:
    text = (report / "bench.html").read_text()
    headings = re.findall(r"<h2[^>]*>(.*?)</h2>", text)
    assert headings == [
        *("Where the time goes", "Kinds of switches", "Ratios", "Other tracers and sandboxes"),
        *("Under container profiles", "Scaling", "Interrupts", "Kernel calls", "All benchmarks", "Machine and method"),
    ]
    assert text.count("<figure>") == len(figures.FIGURES) == text.count("<svg")
    assert not re.search(r"<(script|link|img|iframe)|src=|@import|url\((?!#)", text)
    assert "the machine was &lt;loud&gt;" in text
    assert "runsc is not installed" in text
    assert "no more processes" in text


def test_the_markdown_has_the_same_numbers(report: Path) -> None:
    text = (report / "bench.md").read_text()
    for figure in re.findall(r"!\[.*?\]\((.*?)\)", text):
        assert (report / figure).is_file()
    assert re.search(r"^\| strace .*\| as users run it \| getpid \| \d+\.\d µs \| [89]\.\d", text, re.MULTILINE)
    assert "| A round trip. | 3 | 0 | 0 | 0 | 0 |" in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    for one, other in itertools.pairwise(rows):
        assert one.count("|") == other.count("|") or f"{one}\n{other}" not in text


def test_figures_are_svg_and_png(report: Path) -> None:
    for name in figures.FIGURES:
        assert (report / "figures" / f"{name}.svg").read_text().startswith("<?xml")
        assert (report / "figures" / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_a_file_with_one_benchmark_has_a_page(tmp_path: Path) -> None:
    writer = ResultsWriter("reference")
    writer.take([Measured("calls::unmap", 1, (1e-5,))], 0, {})
    writer.write(tmp_path / results_file.FILE, MACHINE)
    text = page.write(results_file.read(tmp_path), tmp_path).read_text()
    assert "<figure>" not in text
    assert "calls::unmap" in text
    assert not (tmp_path / "figures").exists()


def test_steps_add_up(report: Path) -> None:
    steps = content.steps(results_file.read(report))
    assert [step.label for step in steps] == [label for label, _, _ in content.STEPS]
    for before, after in itertools.pairwise(steps):
        assert before.total.middle + after.added.middle == pytest.approx(after.total.middle, rel=0.02)


@pytest.mark.parametrize(
    ("target", "ratio", "verdict"),
    [
        (RatioTarget("a", "b", "", at_most=1.1), Estimate(1.0, 0.9, 1.1), "met"),
        (RatioTarget("a", "b", "", at_most=1.1), Estimate(1.0, 0.9, 1.2), "undecided"),
        (RatioTarget("a", "b", "", at_most=1.1), Estimate(1.2, 1.15, 1.3), "missed"),
        (RatioTarget("a", "b", "", at_least=4), Estimate(5, 4.0, 6), "met"),
        (RatioTarget("a", "b", "", at_least=4), Estimate(5, 3.0, 6), "undecided"),
        (RatioTarget("a", "b", "", at_least=4), Estimate(3, 2.0, 3.9), "missed"),
        (RatioTarget("a", "b", ""), Estimate(3, 2.0, 3.9), ""),
    ],
)
def test_a_target_is_missed_only_if_the_whole_interval_is(target: RatioTarget, ratio: Estimate, verdict: str) -> None:
    assert content._verdict(target, ratio) == verdict


def test_peers_are_compared_with_the_reference_within_pairs(report: Path) -> None:
    results = results_file.read(report)
    found = {(one.mode, one.name): one.ratio for one in content.peer_results(results)}
    others = {("as users run it", "strace"), ("as users run it", "native"), ("all on one CPU", "proot")}
    assert found.keys() - others == {(mode, "reference") for mode in content.RUN_MODES.values()}
    assert found["as users run it", "native"] is None
    assert (found["as users run it", "strace"] or Estimate(0, 0, 0)).middle == pytest.approx(9, rel=0.05)
    (strace,) = (one for one in content.ratio_results(results) if one.above == "peers::getpid::strace")
    assert (strace.target, strace.verdict) == ("≥ 7", "met")


def test_a_program_has_a_table_of_peers_by_mode(report: Path) -> None:
    (getpid,) = content.program_tables(results_file.read(report))
    assert getpid.program == "getpid"
    lines = dict(getpid.lines)
    assert list(lines) == ["native", "reference", "strace", "proot"], "the cheapest first"
    run_by_users, pinned = lines["strace"]
    assert run_by_users == next(one for one in content.peer_results(results_file.read(report)) if one.name == "strace")
    assert pinned is None


def test_percentiles_need_enough_values() -> None:
    few = content.Latencies("idle", tuple(range(1, 51)))
    many = content.Latencies("idle", tuple(range(1, 1001)))
    assert few.percentiles == {50: 25, 90: 45}
    assert many.percentiles == pytest.approx({50: 500, 90: 900, 99: 990, 99.9: 999}, abs=1)


def test_every_target_names_existing_benchmarks() -> None:
    known = catalogue.benchmarks()
    for target in content.TARGETS:
        if not target.above.startswith("peers"):
            assert {target.above, target.below} <= known.keys()
    assert {name for _, _, name in content.STEPS} | figures.VARIANTS.keys() | figures.LIMITS.keys() <= known.keys()
    assert {name for name, _ in page.KEY} <= known.keys()


def test_the_command_reports_on_the_newest_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["bench", "report", "--results", str(tmp_path)]) == Status.COULD_NOT_RUN
    assert "no run of benchmarks below" in capsys.readouterr().err
    series = Series("calls::unmap", "second", {0: (1.0,)})
    assert Results(tmp_path, MACHINE, {series.name: series}).taken == 0
    recorded(tmp_path / "a", rounds=1)
    assert make_report.newest(tmp_path) == [tmp_path / "a" / results_file.FILE]
    assert main.main(["bench", "report", "a", "b"]) == Status.COULD_NOT_RUN


def test_runs_of_one_machine_are_joined(tmp_path: Path) -> None:
    def raced(folder: Path, machine: fingerprint.Fingerprint) -> Path:
        writer = ResultsWriter("reference")
        writer.take([Measured("peers::getpid::strace", 1, (1e-5,))], 0, {})
        writer.warnings.append("windy")
        folder.mkdir()
        writer.write(folder / results_file.FILE, machine)
        return folder

    suite, peers = recorded(tmp_path / "a", rounds=1), raced(tmp_path / "b", MACHINE)
    os.utime(suite / results_file.FILE, (1, 1))
    assert make_report.newest(tmp_path) == [suite / results_file.FILE, peers / results_file.FILE]
    joined = results_file.join([results_file.read(suite), results_file.read(peers)])
    assert joined.path == suite / results_file.FILE
    assert {"switch::fault", "peers::getpid::strace"} <= joined.series.keys()
    assert joined.series["peers::getpid::strace"].median != 1e-5, "the first run wins"
    assert "windy" in joined.warnings
    there = raced(tmp_path / "c", msgspec.structs.replace(MACHINE, cpu="an abacus"))
    with pytest.raises(UnlikeMachines, match="an abacus"):
        results_file.join([joined, results_file.read(there)])
    assert results_file.join([joined, results_file.read(there)], anyway=True).fingerprint == MACHINE


def test_a_quick_run_says_in_words_that_it_decides_nothing(tmp_path: Path) -> None:
    results = results_file.read(recorded(tmp_path / "a", rounds=3))
    page.write(results, tmp_path)
    for name in ("bench.html", "bench.md"):
        text = (tmp_path / name).read_text()
        assert page.FEW_ROUNDS in text
        assert "undecided<" not in text
        assert "| undecided" not in text
        assert "too few rounds " not in text.replace(page.FEW_ROUNDS, "")
        assert ">95 % interval<" not in text
        assert "| 95 % interval" not in text
    rows = [line for line in (tmp_path / "bench.md").read_text().splitlines() if line.startswith("|")]
    for one, other in itertools.pairwise(rows):
        assert one.count("|") == other.count("|") or not other.startswith("|---")


@pytest.mark.parametrize(("idle", "busy", "said"), [(9e-5, 2e-5, True), (2e-5, 9e-5, False), (2e-5, None, False)])
def test_an_idle_machine_that_is_slower_is_explained(
    idle: float, busy: float | None, said: bool, tmp_path: Path
) -> None:
    writer = ResultsWriter("reference")
    for number in range(8):
        values = {"interrupts::idle": idle} | ({"interrupts::busy": busy} if busy else {})
        writer.take([Measured(name, 1, (value,) * 20) for name, value in values.items()], number, {})
    writer.write(tmp_path / results_file.FILE, MACHINE)
    text = page.write(results_file.read(tmp_path), tmp_path).read_text()
    assert ("The median is higher on the idle machine, 90.0 µs and not 20.0 µs." in text) == said


def test_the_page_has_one_main_part_and_no_empty_heading(report: Path) -> None:
    text = (report / "bench.html").read_text()
    assert (text.count("<main>"), text.count("</main>")) == (1, 1)
    assert not re.search(r"<th[^>]*></th>|<th(?![^>]*scope=)[ >]", text)
    assert re.search(
        r"prefers-color-scheme: dark\) \{ figure \{ background: none \} figure svg \{ filter: invert", text
    )
