"""Exports conform to the schemas and grammars of their formats, and have the run's verdicts."""

from __future__ import annotations

import json
import re
import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import big_run
import ktap as grammar
import msgspec
import pytest
from big_run import kept_cell, kept_run
from junitparser import JUnitXml
from paths import DATA, ROOT

from worldswitch.harness.cell.records import Trial
from worldswitch.harness.cli.main import main
from worldswitch.harness.expectations.judgement import Judgement
from worldswitch.harness.expectations.outcome import Judged, Problem, Stale
from worldswitch.harness.report.export import ctrf, database, formats, junit, ktap
from worldswitch.harness.report.matrix import markdown
from worldswitch.harness.verdict import Verdict

SCHEMAS = DATA / "schema"


def one(name: str, verdict: Verdict, *wanted: Verdict, **more: object) -> Judged:
    judgement = Judgement(verdict in wanted and verdict.is_verdict, frozenset(wanted), "a rule says so")
    values: dict[str, object] = {"scenario": name, "verdict": verdict, "ids": ("SG01",), "seconds": 0.25}
    return Judged(Trial(**(values | more)), judgement)  # type: ignore[arg-type]


#: Each verdict, unexpected and, where possible, expected.
EVERY = (
    one("a::passes", Verdict.PASS, Verdict.PASS),
    one("a::is_blocked", Verdict.BLOCKED, Verdict.BLOCKED, reason="needs #1"),
    one("a::fails_as_it_must", Verdict.FAIL, Verdict.FAIL, reason="known"),
    one("b::passes_though_it_must_not", Verdict.PASS, Verdict.FAIL),
    one(
        "b::fails",
        Verdict.FAIL,
        Verdict.PASS,
        reason="assert 1 == 2",
        detail="> x\nE \x00\x1b[1m",
        transcript=("\x01",),
    ),
    one("b::is_late", Verdict.TIMEOUT, Verdict.PASS, reason="no outcome"),
    one("b::dies", Verdict.CRASH, Verdict.PASS),
    one("c::errs", Verdict.ERROR, Verdict.PASS, reason="no such fixture"),
    one("c::never_ran[x#y]", Verdict.MISS, Verdict.PASS),
)
RUN = kept_run(
    kept_cell("host", EVERY),
    kept_cell("linux-6.12:tight/seed", (one("a::passes", Verdict.BLOCKED, Verdict.BLOCKED),)),
    kept_cell("linux-7.3", (one("a::passes", Verdict.MISS, Verdict.PASS),), Problem("no such kernel", "name another")),
)


@pytest.fixture(scope="module")
def junit_schema() -> Any:
    return pytest.importorskip("xmlschema").XMLSchema(SCHEMAS / "junit.xsd")


@pytest.fixture(scope="module")
def ctrf_schema() -> Any:
    validator = pytest.importorskip("jsonschema").Draft7Validator
    return validator(json.loads((SCHEMAS / "ctrf.schema.json").read_text()))


def test_junit_is_valid_with_any_characters(junit_schema: Any, tmp_path: Path) -> None:
    junit.write(RUN.outcomes, tmp_path / "j.xml")
    junit_schema.validate(tmp_path / "j.xml")
    host, tight, new = JUnitXml.fromfile(str(tmp_path / "j.xml"))
    assert (host.tests, host.failures, host.errors, host.skipped) == (9, 4, 2, 2)
    assert (tight.name, tight.skipped) == ("linux-6.12:tight/seed", 1)
    assert [(it.name, it.value) for it in new.properties()][-1] == ("problem", "no such kernel - name another")


def test_problems_of_cells_and_stale_rules_fail_in_every_format(
    junit_schema: Any, ctrf_schema: Any, tmp_path: Path
) -> None:
    unsound = Problem("the cell's kernel is not sound", unexpected=True)
    fine = kept_run(kept_cell("linux-6.12", EVERY[:1], unsound))
    stale = (Stale(rule="tight.toml:2", why="expired"),)
    run = replace(fine, manifest=msgspec.structs.replace(fine.manifest, stale=stale))
    formats.WRITERS["junit"][0](run, tmp_path / "j.xml")
    junit_schema.validate(tmp_path / "j.xml")
    assert [(suite.name, suite.tests, suite.failures) for suite in JUnitXml.fromfile(str(tmp_path / "j.xml"))] == [
        ("linux-6.12", 2, 1),
        ("expectations", 1, 1),
    ]
    assert [(test.name, test.ok) for test in grammar.parse(ktap.text(run)).tests] == [
        ("linux-6.12", False),
        ("tight.toml:2: expired", False),
    ]
    ctrf_schema.validate(ctrf.report(run))
    failed = [test["name"] for test in ctrf.report(run)["results"]["tests"] if test["status"] == "failed"]
    assert failed == ["linux-6.12", "tight.toml:2"]
    assert "- tight.toml:2: expired" in markdown.text(run)


def test_the_junit_schema_rejects_invalid_documents(junit_schema: Any) -> None:
    good = '<testsuites name="" tests="0" failures="0" errors="0" skipped="0" time="0"/>'
    assert junit_schema.is_valid(good)
    assert not junit_schema.is_valid(good.replace('tests="0"', ""))
    assert not junit_schema.is_valid(good.replace("/>", "><odd/></testsuites>"))


def test_ktap_is_valid_and_nested_by_cell_and_family() -> None:
    whole = grammar.parse(ktap.text(RUN))
    assert [(cell.name, cell.ok, cell.directive) for cell in whole.tests] == [
        ("host", False, ""),
        ("linux-6.12:tight/seed", True, "SKIP"),
        ("linux-7.3", False, ""),
    ]
    assert [(family.name, family.ok, len(family.tests)) for family in whole.tests[0].tests] == [
        ("a", True, 3),
        ("b", False, 4),
        ("c", False, 2),
    ]
    assert whole.tests[2].remarks == ["no such kernel"]


def test_ktap_maps_each_verdict_to_the_kernel_s_directives() -> None:
    families = grammar.parse(ktap.text(RUN)).tests[0].tests
    results = {test.name: (test.ok, test.directive, test.more) for family in families for test in family.tests}
    assert results == {
        "passes": (True, "", ""),
        "is_blocked": (True, "SKIP", "needs _1"),
        "fails_as_it_must": (True, "XFAIL", "known"),
        "passes_though_it_must_not": (False, "", "pass a rule says so"),
        "fails": (False, "", "fail assert 1 == 2"),
        "is_late": (False, "TIMEOUT", "timeout no outcome"),
        "dies": (False, "", "crash a rule says so"),
        "errs": (False, "ERROR", "error no such fixture"),
        "never_ran[x_y]": (False, "ERROR", "miss a rule says so"),
    }


def test_ktap_diagnostics_precede_the_result() -> None:
    fails = grammar.parse(ktap.text(RUN)).tests[0].tests[1].tests[1]
    assert fails.remarks[:2] == ["assert 1 == 2", "expected pass: a rule says so"]


@pytest.mark.parametrize(
    "text",
    [
        "1..0",
        "KTAP version 1",
        "KTAP version 1\n1..1",
        "KTAP version 1\n1..1\nok 2 a",
        "KTAP version 1\n1..0\nok 1 a",
        "KTAP version 1\n1..1\nfine",
    ],
)
def test_the_grammar_rejects_invalid_ktap(text: str) -> None:
    with pytest.raises((AssertionError, StopIteration)):
        grammar.parse(text)


def test_ctrf_is_valid_and_counts_right(ctrf_schema: Any) -> None:
    document = json.loads(ctrf.text(RUN))
    ctrf_schema.validate(document)
    counts = {key: value for key, value in document["results"]["summary"].items() if key not in ("start", "stop")}
    assert counts == {"tests": 11, "passed": 1, "failed": 4, "skipped": 3, "pending": 0, "other": 3, "suites": 3}
    fails = next(test for test in document["results"]["tests"] if test["name"] == "fails")
    assert (fails["status"], fails["rawStatus"], fails["duration"], fails["suite"]) == (
        "failed",
        "fail",
        250,
        ["host", "b"],
    )
    assert fails["extra"] == {"expected": ["pass"], "because": "a rule says so"}
    assert document["results"]["environment"]["extra"]["problems"] == {"linux-7.3": "no such kernel"}


def test_the_ctrf_schema_rejects_invalid_documents(ctrf_schema: Any) -> None:
    document = ctrf.report(RUN)
    document["results"]["tests"][0]["status"] = "fine"
    assert not ctrf_schema.is_valid(document)


def test_a_whole_matrix_can_be_exported(ctrf_schema: Any, tmp_path: Path) -> None:
    run = big_run.run(kernels=("6.12", "7.3"), profiles=("", "no-ptrace"), scenarios=60)
    cells = grammar.parse(ktap.text(run)).tests
    assert [len(cell.tests) for cell in cells] == [len(big_run.FAMILIES)] * 6
    ctrf_schema.validate(json.loads(ctrf.text(run)))
    database.write(run, tmp_path / "r.sqlite")
    with sqlite3.connect(tmp_path / "r.sqlite") as base:
        assert base.execute("SELECT count(*) FROM trials").fetchone() == (360,)


EXAMPLES = re.findall(r"^```sql\n(.*?)^```", (ROOT / "docs" / "results.md").read_text(), re.M | re.S)


@pytest.mark.parametrize("query", EXAMPLES, ids=range(len(EXAMPLES)))
def test_the_documented_queries_return_rows(query: str, tmp_path: Path) -> None:
    path = tmp_path / "r.sqlite"
    database.write(big_run.run(kernels=("5.10", "6.12"), profiles=("", "hardened", "no-ptrace"), scenarios=80), path)
    with sqlite3.connect(path) as base:
        assert base.execute(query).fetchall()


def test_a_database_holds_each_run_once(tmp_path: Path) -> None:
    path = tmp_path / "r.sqlite"
    other = kept_run(*RUN.cells, name="another")
    for run in (RUN, other, RUN):
        database.write(run, path)
    with sqlite3.connect(path) as base:
        assert base.execute("SELECT run FROM runs ORDER BY run").fetchall() == [(RUN.manifest.run,), ("another",)]
        assert base.execute("SELECT count(*) FROM trials").fetchone() == (22,)
        row = (
            "SELECT kernel, version, engine, profile, platform FROM cells WHERE cell LIKE '%tight%' AND run = 'another'"
        )
        assert base.execute(row).fetchone() == ("linux-6.12", "6.12", "linux-6.12", "tight", "seed")
        assert base.execute("PRAGMA foreign_key_check").fetchall() == []


@pytest.mark.parametrize("kind", formats.WRITERS)
def test_the_command_writes_each_format(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("worldswitch.harness.report.matrix.views.read", lambda _: RUN)
    out = tmp_path / "out"
    assert main(["export", "some-run", "--format", kind, "-o", str(out)]) == 0
    assert capsys.readouterr().out == f"{out}\n"
    assert out.stat().st_size > 100


def test_a_file_that_is_not_a_database_is_not_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("worldswitch.harness.report.matrix.views.read", lambda _: RUN)
    (tmp_path / "notes").write_text("not a database, and longer than a hundred characters " * 20)
    assert main(["export", "some-run", "--format", "sqlite", "-o", str(tmp_path / "notes")]) == 2
    assert "cannot write runs to " in capsys.readouterr().err
    assert (tmp_path / "notes").read_text().startswith("not a database")


def test_a_run_without_cells_can_be_shown_and_exported(
    junit_schema: Any, ctrf_schema: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worldswitch.harness.report.matrix.views.read", lambda _: kept_run())
    for kind in formats.WRITERS:
        assert main(["export", "a-run", "--format", kind, "-o", str(tmp_path / kind)]) == 0
    junit_schema.validate(tmp_path / "junit")
    ctrf_schema.validate(json.loads((tmp_path / "ctrf").read_text()))
    assert grammar.parse((tmp_path / "ktap").read_text()).tests == []
    for kind in ("text", "markdown", "html"):
        assert main(["report", "a-run", "--format", kind, "-o", str(tmp_path / kind)]) == 2
        assert "Nothing ran: no trial has a verdict." in (tmp_path / kind).read_text()
        assert "0 passed" in (tmp_path / kind).read_text() or "<b>0</b>passed" in (tmp_path / kind).read_text()
    assert main(["diff", "a-run", "a-run"]) == 2
