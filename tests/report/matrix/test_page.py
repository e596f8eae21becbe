"""The matrix as a page (complete, small, escaped, loads nothing), as Markdown and as text."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import big_run
import pytest
from big_run import kept_cell
from scripted import NAMES, SCENARIOS, frames, place, planner, whole
from scripted import trial as scripted_trial

from worldswitch.harness.catalogue import scenarios
from worldswitch.harness.cell.records import Complaint, KernelLog, Trial
from worldswitch.harness.cell.trial import Result
from worldswitch.harness.cell_name import CellName
from worldswitch.harness.cli import main
from worldswitch.harness.environments import plan as environment
from worldswitch.harness.expectations.judgement import PASSES, Judgement
from worldswitch.harness.expectations.outcome import Judged, Problem
from worldswitch.harness.linux.release import minor, series
from worldswitch.harness.report.matrix import markdown, summary
from worldswitch.harness.report.matrix import pack as packing
from worldswitch.harness.report.matrix import page as matrix
from worldswitch.harness.results import matrix_axes
from worldswitch.harness.results.cell_file import Reached
from worldswitch.harness.results.matrix_axes import MatrixRow
from worldswitch.harness.results.reader import KeptCell, KeptRun
from worldswitch.harness.run import request
from worldswitch.harness.verdict import Verdict

AS_PLANNED = Judgement(True, PASSES)
NOT_SO = Judgement(False, PASSES)


def trial(name: str, verdict: Verdict = Verdict.PASS, **more: object) -> Trial:
    values: dict[str, object] = {"scenario": name, "verdict": verdict, "ids": ("SG01",), "claim": f"{name} is so."}
    return Trial(**(values | more))  # type: ignore[arg-type]


def entry(environment: str, *judged: Judged, problem: Problem | None = None) -> KeptCell:
    return kept_cell(environment, judged, problem)


def account(*cells: KeptCell) -> KeptRun:
    return big_run.kept_run(*cells, name="a-run", seconds=61.0)


def again(cell: KeptCell, trial: Trial) -> str:
    return f"repeat {trial.scenario} in {cell.name}"


ODD = Judged(trial("a::one", Verdict.FAIL, reason="</script><b>1 == 2</b>", transcript=("0.1 x",)), NOT_SO)
FINE = Judged(trial("a::one"), AS_PLANNED)
BLOCKED = Judged(trial("a::two", Verdict.BLOCKED, reason="denied"), Judgement(True, frozenset({Verdict.BLOCKED}), "so"))
SMALL = account(entry("linux-6.12:tight", ODD, BLOCKED), entry("host", FINE), entry("linux-6.1:tight", FINE, BLOCKED))


@pytest.mark.parametrize(
    ("environment", "place"),
    [
        ("host", (MatrixRow("host"), "")),
        ("docker:tight", (MatrixRow("host"), "tight")),
        ("oci:tight", (MatrixRow("host", "oci"), "tight")),
        ("linux-6.12", (MatrixRow("linux-6.12"), "")),
        ("linux-6.12:tight", (MatrixRow("linux-6.12"), "tight")),
    ],
)
def test_a_cell_s_name_gives_its_row_and_column(environment: str, place: tuple[MatrixRow, str]) -> None:
    assert matrix_axes.place(CellName(environment)) == place


def test_rows_are_sorted_by_version_with_a_row_per_platform() -> None:
    names = ["linux-7.0", "linux-6.12:a", "linux-6.1:a", "host", "oci:a", "docker:a", "linux-5.10"]
    rows = matrix_axes.rows([*map(CellName, names), CellName("host", "seed")])
    assert list(map(str, rows)) == [
        "host",
        "host / seed",
        "host (oci)",
        "linux-5.10",
        "linux-6.1",
        "linux-6.12",
        "linux-7.0",
    ]
    assert matrix_axes.columns(map(CellName, ["docker:b", "host", "docker:a"])) == ["", "b", "a"]


@pytest.mark.parametrize(
    ("text", "version"),
    [("linux-6.12", (6, 12)), ("6.12.43+deb13-cloud-amd64", (6, 12)), ("7.0-rc1", (7, 0)), ("host", ())],
)
def test_kernels_are_compared_by_minor_version(text: str, version: tuple[int, ...]) -> None:
    assert minor(text) == version
    assert series(text) == (".".join(map(str, version)) or text)


def test_verdicts_are_letters_and_unexpected_ones_capitals() -> None:
    packed = packing.pack(SMALL, again)
    assert [one.name for one in packed.scenarios] == ["a::one", "a::two"]
    assert [cell.verdicts for cell in packed.cells] == ["Fb", "p-", "pb"]
    assert [len(cell.notes) for cell in packed.cells] == [2, 0, 1]


def test_a_note_has_all_texts_of_a_trial() -> None:
    packed = packing.pack(SMALL, again)
    scenario, judgement, reason, seconds, detail, transcript, output, command = packed.cells[0].notes[0]
    assert (scenario, seconds, detail, output) == (0, 0.0, 0, 0)
    assert packed.judgements[judgement] == ("pass", "", "", "")
    assert [packed.texts[it] for it in (reason, transcript, command)] == [
        "</script><b>1 == 2</b>",
        "0.1 x",
        "repeat a::one in linux-6.12:tight",
    ]
    assert packed.judgements[packed.cells[0].notes[1][1]] == ("blocked", "so", "", "")


def test_a_cell_has_its_kernel_s_log() -> None:
    complaint = Complaint(meaning="a bug in the kernel", line="BUG: x")
    log = KernelLog(lines=("6 0.1 booted", "4 9.2 BUG: x"), complaints=(complaint,))
    plain = entry("linux-6.12", FINE)
    (cell,) = packing.pack(account(replace(plain, reached=Reached(kernel_log=log))), again).cells
    assert cell.complaints == (("a bug in the kernel", "BUG: x"),)
    packed = packing.pack(account(replace(plain, reached=Reached(kernel_log=log)), plain), again)
    assert [packed.texts[it.kernel_log] for it in packed.cells] == ["6 0.1 booted\n4 9.2 BUG: x", ""]


def test_long_texts_keep_their_end_and_excess_texts_are_omitted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "TEXT", 100)
    monkeypatch.setattr(packing, "ALL", 150)
    long = [Judged(trial(f"a::{n}", Verdict.FAIL, detail=f"{n}" * 200 + "the end"), NOT_SO) for n in range(3)]
    texts = packing.pack(account(entry("host", *long)), lambda *_: "").texts
    assert [text for text in texts if text.endswith("the end")] == [
        "... 107 earlier characters\n" + "0" * 93 + "the end"
    ]
    assert packing.LEFT_OUT in texts


def test_a_claim_is_taken_from_a_cell_that_ran() -> None:
    bare = Judged(Trial(scenario="a::one", verdict=Verdict.MISS), NOT_SO)
    for entries in ((entry("host", bare), entry("docker:a", FINE)), (entry("docker:a", FINE), entry("host", bare))):
        (scenario,) = packing.pack(account(*entries), again).scenarios
        assert scenario.claim == "a::one is so."


class _Tags(HTMLParser):
    """Which tags are open."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag not in ("meta", "br", "input"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_well_formed_and_loads_nothing() -> None:
    page = matrix.page(SMALL, again)
    parser = _Tags()
    parser.feed(page)
    assert parser.open == []
    assert not re.search(r"https?:|<link|<img|url\(|@import|src=|fetch\(|import ", page)
    assert "<b>1 == 2" not in page


def test_the_page_says_first_what_was_found_and_where() -> None:
    page = matrix.page(SMALL, again)
    assert "<title>worldswitch: reference · " in page
    main = page.partition("<main>")[2]
    assert main.strip().startswith("<h1>reference runs on the host and on Linux 6.1 under tight (2 trials); ")
    assert "misbehaves on Linux 6.12 under tight: 1 of 2 trials failed.</h1>" in main
    run = big_run.run(kernels=(), profiles=("",))
    assert re.search(
        r"<title>worldswitch: reference · x86_64, made up · Linux 6\.18\.5 · 2026-01-02</title>",
        matrix.page(run, again),
    )


def test_the_policy_names_the_style_and_the_script_of_the_page_alone() -> None:
    page = matrix.page(SMALL, again)
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]+)"', page)
    for kind, tag in (("style-src", "style"), ("script-src", "script")):
        (text,) = re.findall(f"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{kind} 'sha256-{digest}'" in html.unescape(policy)
    assert "default-src 'none'" in policy
    assert not re.search(r'<[^>]+ style="', page.partition('id="pack"')[0])


def test_causes_are_listed_with_their_scenarios() -> None:
    other = Judged(trial("a::two", Verdict.FAIL, reason="</script><b>3 == 4</b>"), NOT_SO)
    page = matrix.page(account(entry("host", ODD, other)), again)
    assert page.count("FAIL 2 trials: &lt;/script&gt;&lt;b&gt;1 == 2&lt;/b&gt;") == 1
    assert page.count('<td class="claim">two</td>') == 1


def test_a_cell_in_which_ptrace_is_denied_is_packed_as_such() -> None:
    denied = Judged(trial("a::two", Verdict.BLOCKED, reason="needs ptrace: so"), BLOCKED.judgement)
    packed = packing.pack(account(entry("host", FINE, BLOCKED), entry("docker:no", FINE, denied)), again)
    assert [cell.denied for cell in packed.cells] == [False, True]


def test_without_scripts_the_page_shows_each_cell() -> None:
    shown = matrix.page(SMALL, again).partition("<aside")[0]
    assert '<span class="v fail wrong">1<i>F</i></span><span class="v blocked">1<i>B</i></span>' in shown
    assert "&lt;b&gt;1 == 2&lt;/b&gt;" in shown
    assert "cell=linux-6.12%3Atight" in shown


def test_a_whole_matrix_is_made_quickly_and_is_small() -> None:
    run = big_run.run(kernels=big_run.KERNELS[-3:], profiles=big_run.PROFILES[:6])
    page = matrix.page(run, again)
    trials = sum(len(one.judged) for one in run.cells)
    assert len(page) < 30 * trials + 400_000
    packed = json.loads(page.partition('id="pack">')[2].partition("</script>")[0])
    assert len(packed["cells"]) == 24


def test_differences_between_kernels_are_grouped_by_profile() -> None:
    other = (entry("linux-6.12:loose", ODD), entry("linux-6.1:loose", FINE))
    (difference,) = summary.differences(account(*SMALL.cells, *other))
    assert str(difference) == "pass: linux-6.1; fail: linux-6.12"
    assert (difference.ids, sorted(difference.profiles)) == ("SG01", ["loose", "tight"])


def test_misses_that_a_problem_explains_are_not_listed() -> None:
    missed = Judged(trial("a::one", Verdict.MISS), NOT_SO)
    run = account(*(entry(name, missed, problem=Problem("gone", "fetch it")) for name in ("linux-7.3", "linux-7.3:a")))
    assert summary.problems(run) == {("gone", "fetch it"): ["linux-7.3", "linux-7.3:a"]}
    assert summary.unexpected(run) == []
    assert summary.differences(run) == []
    assert summary.named(list("abcdefghij")) == "a, b, c, d, e, f, g, h and 2 more"


def test_equal_unexpected_verdicts_are_grouped() -> None:
    other = Judged(trial("a::one", Verdict.FAIL, reason="2 == 3"), NOT_SO)
    (found,) = summary.unexpected(account(entry("host", ODD), entry("docker:a", other)))
    assert (found.reason, found.cells) == ("</script><b>1 == 2</b>", ["host", "docker:a"])


def test_the_headline_counts_platforms_if_there_are_several() -> None:
    assert summary.headline(SMALL).endswith("seed 7: 3 kernels, 2 profiles, 2 scenarios")
    several = account(entry("host", FINE), entry("host/seed", FINE))
    assert summary.headline(several).endswith("1 kernel, 2 platforms, 1 profile, 1 scenario")


def test_markdown_has_the_matrix_and_the_unexpected_verdicts() -> None:
    lines = markdown.text(SMALL).splitlines()
    assert "**2 passed, 1 failed, 2 skipped**" in lines
    assert "| kernel | no container | tight |" in lines
    assert "| linux-6.12<br> |  | **1 fail**<br>1 blocked |" in lines
    assert any(line.startswith("| fail | SG01 | one | linux-6.12:tight |") for line in lines)
    assert "\\<b>1 == 2" in markdown.text(SMALL)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run's folder."""
    monkeypatch.setattr(scenarios, "scenarios", lambda: list(SCENARIOS))
    monkeypatch.setattr(request, "rehearse_platform", lambda _: Result(verdict=Verdict.PASS))
    monkeypatch.setattr(environment, "plan", planner(place("host", frames(whole(*map(scripted_trial, NAMES))))))
    assert main.main(["run", "--results", str(tmp_path / "results")]) == 0
    (made,) = (tmp_path / "results").iterdir()
    return made


def test_the_command_shows_a_run_in_each_format(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main.main(["report", str(folder)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "3 passed, 0 failed, 0 skipped"
    assert main.main(["report", str(folder), "--format", "markdown"]) == 0
    assert "**3 passed, 0 failed, 0 skipped**" in capsys.readouterr().out
    assert main.main(["report", str(folder), "--format", "html"]) == 0
    assert capsys.readouterr().out.strip() == str(folder / "matrix.html")
    assert (folder / "matrix.html").read_text().startswith("<!doctype html>")
    assert main.main(["report", str(folder), "--format", "text", "-o", str(folder / "m.txt")]) == 0
    assert (folder / "m.txt").read_text().splitlines()[-1] == "3 passed, 0 failed, 0 skipped"


def test_a_run_is_found_by_name_and_defaults_to_the_newest(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder.parent.parent)
    capsys.readouterr()
    for names in ([folder.name], []):
        assert main.main(["report", *names]) == 0
        assert capsys.readouterr().out.startswith("reference runs on the host (3 trials).\nreference · ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["report", "nowhere"], "nowhere: no such folder, and no run of that name in results"),
        (["report"], "results: no runs there"),
        (["report", "."], "run.json: not there; the folder is not that of a run"),
    ],
)
def test_a_folder_without_a_run_is_refused(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main.main(arguments) == 2
    assert message in capsys.readouterr().err


def test_an_unwritable_output_is_reported(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["report", str(folder), "--format", "html", "-o", str(folder / "no" / "m.html")]) == 2
    assert "m.html cannot be written: No such file or directory; name another file with -o" in capsys.readouterr().err


def test_each_run_writes_its_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(scenarios, "scenarios", lambda: list(SCENARIOS))
    monkeypatch.setattr(request, "rehearse_platform", lambda _: Result(verdict=Verdict.PASS))
    output = frames(whole(*map(scripted_trial, NAMES)))
    for number, names in enumerate((("host",), ("host", "docker:a"))):
        monkeypatch.setattr(environment, "plan", planner(*(place(name, output) for name in names)))
        assert main.main(["run", "--results", str(tmp_path / str(number))]) == 0
        lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("matrix: ")]
        assert lines == [f"matrix: {page}" for page in (tmp_path / str(number)).glob("*/matrix.html")]
        assert len(lines) == 1
