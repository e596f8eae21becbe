"""The kill matrix as data and as a page: complete, well formed and escaped, and loads nothing."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import pytest
from mutilated import ONE, OTHER, THIRD, Mutilated, bitten
from scripted import NAMES, SCENARIOS, trial

from worldswitch.harness.expectations.outcome import Status
from worldswitch.harness.report.mutants import page as kill_page
from worldswitch.harness.run.mutants import matrix as kill_matrix
from worldswitch.harness.run.mutants import proof
from worldswitch.harness.run.mutants.fates import CellReport, Fate, MutantFate, MutantFinding
from worldswitch.harness.run.mutants.matrix import Matrix
from worldswitch.harness.verdict import Verdict

CAUGHT = MutantFate(
    "Forgetful",
    "host",
    (MutantFinding("SG01", Fate.CAUGHT, ""),),
    kills=(bitten(),),
    undeclared=(trial(THIRD, Verdict.CRASH, reason="a <b>bold</b> crash"),),
    passed=(OTHER,),
    seconds=1.25,
)


def matrix(*mutant_fates: MutantFate, whole: bool = True) -> Matrix:
    reference = CellReport({name: trial(name) for name in NAMES})
    proofs = (
        proof.examine(SCENARIOS, reference, mutant_fates, {OTHER: "nothing can", THIRD: "nor that"}) if whole else []
    )
    mutants = {one.mutant: Mutilated(one.mutant) for one in mutant_fates}
    place = kill_matrix.place("host", reference, mutants, mutant_fates, proofs)
    return Matrix(started=0.0, seconds=3.0, seed=7, repeat="quick", full=False, places=(place,))


def test_a_matrix_can_be_read_back(tmp_path: Path) -> None:
    kill_matrix.write(matrix(CAUGHT), tmp_path / "m.json")
    assert msgspec.json.decode((tmp_path / "m.json").read_bytes(), type=Matrix) == matrix(CAUGHT)


def test_it_has_the_fate_of_each_mutant_and_the_state_of_each_scenario() -> None:
    (place,) = matrix(CAUGHT).places
    (mutant,) = place.mutants
    assert (mutant.fate, mutant.module, [kill.scenario for kill in mutant.killed_by]) == ("caught", "memory", [ONE])
    assert [(it.scenario, it.verdict) for it in mutant.undeclared] == [(THIRD, "crash")]
    assert place.standings == {"proven": 1, "excused": 2}
    assert place.scenarios[0].mutants == ("Forgetful",)


@pytest.mark.parametrize(
    ("fates", "status"),
    [
        ([Fate.CAUGHT, Fate.CAUGHT], Status.AS_EXPECTED),
        ([Fate.CAUGHT, Fate.UNTESTED], Status.AS_EXPECTED),
        ([Fate.CAUGHT, Fate.SURVIVED, Fate.ERROR], Status.UNEXPECTED),
        ([Fate.CAUGHT, Fate.ERROR], Status.COULD_NOT_RUN),
        ([Fate.UNTESTED], Status.COULD_NOT_RUN),
        ([], Status.COULD_NOT_RUN),
    ],
)
def test_the_exit_status(fates: list[Fate], status: Status) -> None:
    made = matrix(*(MutantFate(one.value, "host", (MutantFinding("SG01", one, ""),)) for one in fates), whole=False)
    assert kill_matrix.status(made) is status
    assert sum(map(int, str(kill_matrix.tally(made)).split()[::2])) == len(fates)


def test_a_scenario_that_is_not_proven_decides_the_exit_status() -> None:
    made = matrix(MutantFate("Other", "host", (MutantFinding("SG01", Fate.CAUGHT, ""),)))
    assert kill_matrix.status(made) is Status.UNEXPECTED
    assert str(kill_matrix.tally(made)) == "1 passed, 1 failed, 0 skipped"


class _Tags(HTMLParser):
    """Which tags are open, and every text."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.append(tag)
        if tag not in ("meta", "br", "line"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: object) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize("made", [matrix(CAUGHT), matrix(CAUGHT, whole=False), matrix(whole=False)])
def test_the_page_is_well_formed(made: Matrix) -> None:
    parser = _Tags()
    parser.feed(kill_page.page(made))
    assert parser.open == []


def test_the_page_loads_nothing() -> None:
    page = kill_page.page(matrix(CAUGHT))
    assert not re.search(r"https?:|<script|<link|<img|url\(|@import", page)
    assert "<b>bold</b>" not in page
    assert "Forgets &lt;everything&gt;." in page


def test_every_mark_is_on_the_page_with_its_reason() -> None:
    parser = _Tags()
    parser.feed(kill_page.page(matrix(CAUGHT)))
    assert parser.tags.count("td") > len(NAMES)
    for text in ("Forgetful", "crash: a <b>bold</b> crash", "fail: assert 1 == 2", "nothing can", "seed 7"):
        assert text in parser.text
    (sheet,) = (kill_page.sheet(place) for place in matrix(CAUGHT).places)
    assert {(mark.kind, mark.scenario) for mark in sheet.marks} == {("kill", ONE), ("else", THIRD)}
    assert [family.name for family in sheet.families] == ["signals", "threads"]


def test_a_function_with_several_trials_has_one_square_for_the_worst() -> None:
    several = msgspec.structs.replace(trial(f"{ONE}[1]"), verdict=Verdict.FAIL, assertion=True)
    made = MutantFate("Forgetful", "host", CAUGHT.findings, kills=(several,), passed=(f"{ONE}[0]", f"{ONE}[2]"))
    (sheet,) = (kill_page.sheet(place) for place in matrix(made).places)
    assert sheet.families[0].marks["Forgetful", ONE].kind == "kill"


def test_kernel_scenarios_are_counted_but_not_shown() -> None:
    (place,) = matrix(CAUGHT).places
    held = [msgspec.structs.replace(one, standing="kernel") if one.name == THIRD else one for one in place.scenarios]
    changed = msgspec.structs.replace(place, scenarios=tuple(held), standings={"proven": 1, "excused": 1, "kernel": 1})
    assert [family.name for family in kill_page.sheet(changed).families] == ["signals"]
    page = kill_page.page(msgspec.structs.replace(matrix(CAUGHT), places=(changed,)))
    assert "about the kernel alone" in page


def test_the_page_has_one_main_part_and_each_heading_of_a_table_its_scope() -> None:
    template = Path(kill_page.__file__).with_name(kill_page.TEMPLATE).read_text()
    assert (template.count("<main>"), template.count("</main>")) == (1, 1)
    assert "<th>" not in template
    assert template.count("<th") - template.count("<thead") == template.count("<th scope=")
