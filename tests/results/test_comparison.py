"""The comparison of two runs: changes of trials, of fingerprints and of kernels."""

from __future__ import annotations

import json

import msgspec
import pytest
from big_run import kept_cell, kept_run
from scripted import header

from worldswitch.harness.cell.records import Header, Trial
from worldswitch.harness.cli.main import main
from worldswitch.harness.expectations.judgement import Judgement
from worldswitch.harness.expectations.outcome import Judged, Problem, Status
from worldswitch.harness.results import comparison
from worldswitch.harness.results.comparison import Change, Kind, Shift
from worldswitch.harness.results.reader import KeptCell, KeptRun
from worldswitch.harness.verdict import Verdict

P, F, B, M, E = Verdict.PASS, Verdict.FAIL, Verdict.BLOCKED, Verdict.MISS, Verdict.ERROR


def one(verdict: Verdict, *wanted: Verdict, name: str = "a::one", reason: str = "so") -> Judged:
    wishes = frozenset(wanted or {P})
    judgement = Judgement(verdict in wishes and verdict.is_verdict, wishes)
    return Judged(Trial(scenario=name, verdict=verdict, ids=("SG01",), reason=reason), judgement)


def machine(release: str, **probes: str) -> Header:
    made = header(**probes)
    return msgspec.structs.replace(
        made, fingerprint=msgspec.structs.replace(made.fingerprint, kernel=f"Linux {release} #1")
    )


def cell(name: str, *judged: Judged, problem: Problem | None = None, seen: Header | None = None) -> KeptCell:
    return kept_cell(name, judged, problem, seen)


def run(*cells: KeptCell, name: str = "r") -> KeptRun:
    return kept_run(*cells, name=name)


def kinds(before: KeptRun, *after: KeptRun, across: bool = False) -> list[Kind]:
    return [change.kind for change in comparison.compare(before, *after, across=across).changes]


@pytest.mark.parametrize(
    ("was", "now", "kind"),
    [
        (one(P), one(P), None),
        (one(P), one(F), Kind.FAILING),
        (one(P), one(E), Kind.FAILING),
        (one(B, B), one(P, B), Kind.FAILING),  # an unexpected pass
        (one(F), one(P), Kind.FIXED),
        (one(E), one(P), Kind.FIXED),
        (one(P), one(M), Kind.MISSING),
        (one(F), one(M), Kind.MISSING),
        (one(M), one(M), None),
        (one(M), one(P), Kind.APPEARED),
        (one(M), one(F), Kind.FAILING),
        (one(P), one(B, B), Kind.VERDICT),
        (one(P), one(P, P, F), Kind.EXPECTATION),
        (one(F), one(F), Kind.STILL),
        (one(F), one(Verdict.CRASH), Kind.STILL),
    ],
)
def test_each_trial_has_one_kind_of_change(was: Judged, now: Judged, kind: Kind | None) -> None:
    other = one(P, name="a::other")  # so that the kernel has not vanished
    found = comparison.compare(run(cell("host", was, other)), run(cell("host", now, other)))
    assert [change.kind for change in found.changes] == ([kind] if kind else [])
    assert found.same == (1 if kind or was.trial.verdict is M else 2)
    assert found.vanished == {}


def test_a_change_has_the_verdicts_and_the_reason() -> None:
    found = comparison.compare(run(cell("docker:a", one(P))), run(cell("docker:a", one(F, reason="assert 1 == 2"))))
    assert found.changes == [Change(Kind.FAILING, "docker:a", "a::one", ("SG01",), "pass", "fail", "assert 1 == 2")]


def test_a_new_scenario_appears_or_newly_fails() -> None:
    before = run(cell("host", one(P)))
    assert kinds(before, run(cell("host", one(P), one(P, name="a::new")))) == [Kind.APPEARED]
    assert kinds(before, run(cell("host", one(P), one(F, name="a::new")))) == [Kind.FAILING]


def test_a_trial_on_which_repetitions_disagree_is_flaky() -> None:
    before, good, bad = (run(cell("host", one(verdict))) for verdict in (P, P, F))
    assert kinds(before, bad, good) == kinds(before, good, bad) == [Kind.FLAKY]
    assert kinds(before, bad, bad) == [Kind.FAILING]
    assert kinds(before, bad, run(cell("host", one(M)))) == [Kind.FAILING]
    (change,) = comparison.compare(before, bad, good).changes
    assert change.now == "fail or pass"


def test_kernels_are_the_same_by_their_minor_version() -> None:
    old = run(cell("linux-6.12.43+deb13-cloud-amd64:a", one(P)))
    assert kinds(old, run(cell("linux-6.12:a", one(F)))) == [Kind.FAILING]


def test_a_kernel_that_is_no_longer_available_has_vanished() -> None:
    before = run(cell("linux-7.3", one(P)), cell("linux-7.3:a", one(P)), cell("host", one(P)))
    gone = Problem("no package of it in any suite")
    after = run(*(cell(name, one(M), problem=gone) for name in ("linux-7.3", "linux-7.3:a")), cell("host", one(P)))
    found = comparison.compare(before, after)
    assert found.vanished == {"linux-7.3": gone.reason}
    assert (found.changes, found.status) == ([], Status.AS_EXPECTED)


def test_one_cell_that_did_not_run_is_newly_missing() -> None:
    before = run(cell("linux-7.3", one(P)), cell("linux-7.3:a", one(P)))
    after = run(cell("linux-7.3", one(P)), cell("linux-7.3:a", one(M), problem=Problem("lost")))
    found = comparison.compare(before, after)
    assert ([change.kind for change in found.changes], found.vanished) == ([Kind.MISSING], {})
    assert found.status is Status.COULD_NOT_RUN


def test_a_cell_whose_kernel_complains_newly_fails_though_all_passed() -> None:
    unsound = Problem("the cell's kernel is not sound", unexpected=True)
    good, bad = run(cell("linux-7.3", one(P))), run(cell("linux-7.3", one(P), problem=unsound))
    assert kinds(good, bad) == [Kind.FAILING]
    assert kinds(bad, bad) == []


def test_cells_and_scenarios_that_were_not_planned_are_left_out() -> None:
    before = run(cell("linux-6.1", one(P)), cell("host", one(P), one(P, name="a::two")), cell("docker:a", one(P)))
    found = comparison.compare(before, run(cell("host", one(P)), cell("linux-7.2", one(P))))
    assert found.left_out == {"kernels": ["linux-6.1"], "cells": ["docker:a"], "scenarios": ["a::two"]}
    assert found.new_kernels == ["linux-7.2"]
    assert found.status is Status.AS_EXPECTED


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (run(cell("linux-6.12", one(P))), run(cell("host", one(P)))),  # other kernels
        (run(cell("docker:a", one(P))), run(cell("docker:b", one(P)))),  # other profiles
        (run(cell("host", one(P))), run(cell("host", one(P, name="b::two")))),  # other scenarios
        (run(cell("host", one(M))), run(cell("host", one(P)))),
        (run(cell("host", one(M))), run(cell("host", one(M)))),
        (run(), run()),
    ],
)
def test_runs_with_nothing_in_common_are_not_green(before: KeptRun, after: KeptRun) -> None:
    found = comparison.compare(before, after)
    assert (found.compared, found.status) == (0, Status.COULD_NOT_RUN)


def test_a_trial_that_newly_fails_is_1_though_nothing_is_in_common() -> None:
    found = comparison.compare(run(cell("docker:a", one(P))), run(cell("docker:b", one(F))))
    assert (found.compared, found.status) == (0, Status.UNEXPECTED)


def test_the_host_kernel_is_compared_with_the_same_minor_version_unless_across() -> None:
    before = run(cell("host", one(P), seen=machine("6.12.4")))
    same = run(cell("host", one(F), seen=machine("6.12.9-cloud")))
    other = run(cell("host", one(F), seen=machine("6.18.5")))
    assert kinds(before, same) == [Kind.FAILING]
    assert comparison.compare(before, other).left_out["kernels"] == ["host 6.12"]
    (shift,) = comparison.compare(before, other, across=True).shifts
    assert shift == Shift("kernel", "6.12.4", "6.18.5", ("host",))


def test_a_difference_of_fingerprints_is_listed_once_for_all_cells() -> None:
    before = run(*(cell(f"docker:{name}", one(P), seen=machine("6.12.4", rseq="yes", avx="no")) for name in "ab"))
    after = run(*(cell(f"docker:{name}", one(P), seen=machine("6.12.4", rseq="no", avx="no")) for name in "ab"))
    assert comparison.compare(before, after).shifts == [Shift("probe rseq", "yes", "no", ("docker:a", "docker:b"))]


def test_platforms_and_engines_are_distinct() -> None:
    before = run(cell("docker:a", one(P)), cell("oci:a", one(F)), cell("docker:a/seed", one(F)))
    assert set(kinds(before, before)) == {Kind.STILL}


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> dict[str, KeptRun]:
    """The runs by name."""
    made = {
        "old": run(cell("host", one(P), one(F, name="a::two")), cell("linux-7.3", one(P)), name="old"),
        "new": run(
            cell("host", one(F), one(P, name="a::two")), cell("linux-7.3", one(M), problem=Problem("gone")), name="new"
        ),
    }
    monkeypatch.setattr("worldswitch.harness.report.matrix.views.read", made.__getitem__)
    return made


def test_the_command_prints_the_changes_and_its_status_follows_them(
    kept: dict[str, KeptRun], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["diff", "old", "new"]) == 1
    out = capsys.readouterr().out
    for line in (
        "vanished kernel: linux-7.3",
        "SG01 a::one: pass -> fail in host",
        "SG01 a::two: fail -> pass in host",
    ):
        assert line in out
    assert out.splitlines()[-1] == "1 vanished kernels, 1 newly failing, 1 fixed, 0 unchanged"
    assert main(["diff", "old", "old"]) == 0
    assert main(["diff", "old", "new", "--again", "old"]) == 0
    assert "flaky: 2" in capsys.readouterr().out


def test_the_json_output_has_the_changes(kept: dict[str, KeptRun], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diff", "old", "new", "--json"]) == 1
    printed = json.loads(capsys.readouterr().out)
    assert printed["status"] == 1
    assert printed["vanished_kernels"] == {"linux-7.3": "gone"}
    assert [(it["cell"], it["scenario"], it["was"], it["now"]) for it in printed["newly_failing"]] == [
        ("host", "a::one", "pass", "fail")
    ]
