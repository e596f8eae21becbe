"""The folder of a run has its plan, verdicts and judgements, however the run ended."""

from __future__ import annotations

import functools
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path

import msgspec
import pytest
from scripted import NAMES, SCENARIOS, frames, header, place, run_in, trial, whole

from worldswitch.harness.cell import records
from worldswitch.harness.environments.protocol import Missing
from worldswitch.harness.expectations import conditions, judgement
from worldswitch.harness.expectations.judgement import Expectation
from worldswitch.harness.expectations.outcome import Problem
from worldswitch.harness.results import manifest, reader
from worldswitch.harness.results.errors import Damaged, ResultError
from worldswitch.harness.results.reader import NoRun
from worldswitch.harness.run.runner import Run
from worldswitch.harness.verdict import Verdict

PASSES = tuple(trial(name) for name in NAMES)
GOOD = frames(whole(*PASSES))
BLOCKED = Expectation(("SG01",), frozenset({Verdict.BLOCKED}), "no namespaces here")


@pytest.fixture
def go(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Run]:
    """Run in these environments."""
    return functools.partial(run_in, monkeypatch, tmp_path, seed=11)


def test_a_run_is_read_back(go, tmp_path: Path) -> None:
    blocked = trial(NAMES[0], Verdict.BLOCKED)
    mixed = frames(whole(blocked, trial(NAMES[1]), trial(NAMES[2], Verdict.FAIL, reason="no")))
    run = go(place("host", GOOD), place("docker:a", mixed, BLOCKED), Missing("docker:b", "no engine", "install one"))
    kept = reader.read(tmp_path)
    assert [(one.cell, one.judged, one.problem) for one in kept.outcomes] == [
        (one.cell, one.judged, one.problem) for one in run.outcomes
    ]
    cell = kept.cell("docker:a")
    assert (cell.header.seed, cell.footer.counts) == (7, {"pass": 1, "fail": 1, "blocked": 1})
    assert cell.judged[0].judgement == judgement.Judgement(True, BLOCKED.verdicts, BLOCKED.reason, "x.toml rule 1")
    assert cell.judged[1].judgement.wanted == BLOCKED.verdicts
    assert kept.cell("docker:b").header is None
    assert (kept.manifest.seed, kept.manifest.interrupted) == (11, False)
    assert kept.manifest.finished >= kept.manifest.started


def test_a_plain_judgement_has_no_line(go, tmp_path: Path) -> None:
    go(place("host", GOOD))
    assert not (tmp_path / manifest.JUDGEMENTS).exists()


def test_an_unknown_cell_is_an_error_that_lists_the_cells(go, tmp_path: Path) -> None:
    go(place("host", GOOD))
    with pytest.raises(KeyError, match=r"no cell docker:x in .*; there are host"):
        reader.read(tmp_path).cell("docker:x")


def test_the_digest_changes_with_the_rules() -> None:
    other = Expectation(("SG01",), frozenset({Verdict.FAIL}), "no namespaces here")
    more = (
        replace(BLOCKED, expires=date(2027, 1, 1)),
        replace(BLOCKED, expires=date(2027, 1, 2)),
        replace(BLOCKED, when=conditions.parse({"environment": "host"})),
        replace(BLOCKED, when=conditions.parse({"environment": "docker:*"})),
        replace(BLOCKED, needs=frozenset({"smp"})),
    )
    rules = ([], [[BLOCKED]], [[other]], [[BLOCKED, other]], *([[one]] for one in more))
    digests = [judgement.digest(cells) for cells in rules]
    assert len(set(digests)) == len(rules)
    assert {len(digest) for digest in digests} == {16}
    assert judgement.digest([[BLOCKED]]) == digests[1]


# ----------------------------------------------------------------------------------------------------- incomplete runs


def cut(folder: Path, *, started: bool = True) -> None:
    """Turn the folder of a run into that of one killed in its last cell."""
    whole = msgspec.json.decode((folder / "run.json").read_bytes())
    whole["finished"] = None
    whole["cells"][-1].pop("finished")
    whole["cells"][-1].pop("problem", None)
    if not started:
        whole["cells"][-1].pop("started")
    (folder / "run.json").write_bytes(msgspec.json.encode(whole))


@pytest.mark.parametrize("torn", [b"", b'{"kind":"tri'])
def test_a_killed_run_has_its_results_so_far_and_the_rest_is_a_miss(go, tmp_path: Path, torn: bytes) -> None:
    go(place("host", GOOD), place("docker:a", frames([header(), PASSES[1]]), status=137))
    cut(tmp_path)
    with (tmp_path / "docker-a.jsonl").open("ab") as file:
        file.write(torn)
    cell = reader.read(tmp_path).cells[1]
    assert [(one.trial.scenario, one.trial.verdict.value) for one in cell.judged] == [
        (NAMES[1], "pass"),
        (NAMES[0], "miss"),
        (NAMES[2], "miss"),
    ]
    assert (cell.judged[1].trial.ids, cell.judged[1].trial.claim) == (SCENARIOS[0].ids, SCENARIOS[0].claim)
    assert cell.problem == Problem("the run was cut off" + (" in the middle of a record" if torn else ""))
    assert not cell.judged[1].judgement.expected


def test_a_cell_that_did_not_start_misses_its_plan(go, tmp_path: Path) -> None:
    go(place("host", GOOD), place("docker:a", []))
    cut(tmp_path, started=False)
    cell = reader.read(tmp_path).cells[1]
    assert [one.trial.verdict for one in cell.judged] == [Verdict.MISS] * 3
    assert cell.problem == Problem("the run was cut off before this cell started")


def test_the_manifest_is_there_before_any_cell_starts(go, tmp_path: Path) -> None:
    seen = []

    def look() -> bytes:
        seen.append(reader.read(tmp_path))
        return b"\n"

    go(place("host", [look, *GOOD]), place("docker:a", GOOD))
    (kept,) = seen
    assert [str(cell.name) for cell in kept.cells] == ["host", "docker:a"]
    assert [len(cell.judged) for cell in kept.cells] == [3, 3]
    assert kept.cells[1].problem.reason == "the run was cut off before this cell started"


# -------------------------------------------------------------------------------------------------------- bad folders


def rewrite(name: str, **changes: object) -> Callable[[Path], None]:
    """Change fields of a file of one JSON object a line."""

    def change(folder: Path) -> None:
        path = folder / name
        first, _, rest = path.read_text().partition("\n") if name.endswith("l") else (path.read_text(), "", "")
        path.write_text(f"{json.dumps(json.loads(first) | changes)}\n{rest}")

    return change


def write(name: str, text: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_text(text)


def add(name: str, text: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_text((folder / name).read_text() + text)


def second(name: str, **changes: object) -> Callable[[Path], None]:
    """Change fields of the second line of a file."""

    def change(folder: Path) -> None:
        first, line, *rest = (folder / name).read_text().splitlines()
        (folder / name).write_text("\n".join([first, json.dumps(json.loads(line) | changes), *rest, ""]))

    return change


def of_cell(**changes: object) -> Callable[[Path], None]:
    """Change fields of the first cell of the plan."""

    def change(folder: Path) -> None:
        found = json.loads((folder / "run.json").read_text())
        found["cells"][0] |= changes
        (folder / "run.json").write_text(json.dumps(found))

    return change


def last(name: str, **changes: object) -> Callable[[Path], None]:
    """Change fields of the last line of a file."""

    def change(folder: Path) -> None:
        *lines, line = (folder / name).read_text().splitlines()
        (folder / name).write_text("\n".join([*lines, json.dumps(json.loads(line) | changes), ""]))

    return change


def linked(folder: Path) -> None:
    """Make the file of a cell a circle of symbolic links."""
    (folder / "docker-a.jsonl").unlink()
    (folder / "docker-a.jsonl").symlink_to("docker-a.jsonl")


def piped(folder: Path) -> None:
    (folder / "docker-a.jsonl").unlink()
    os.mkfifo(folder / "docker-a.jsonl")


def twice(folder: Path) -> None:
    found = json.loads((folder / "run.json").read_text())
    write("run.json", json.dumps(found | {"cells": found["cells"] * 2}))(folder)


def elsewhere(folder: Path) -> None:
    found = json.loads((folder / "run.json").read_text())
    found["cells"][0]["file"] = "../../etc/passwd"
    write("run.json", json.dumps(found))(folder)


RULING = {"cell": "docker:a", "scenario": NAMES[0], "verdict": "fail", "expected": False, "wanted": ["pass"]}

#: The damage of a folder, and the error, which begins with the file.
DAMAGED: dict[str, tuple[Callable[[Path], object], str]] = {
    "no manifest": (lambda folder: (folder / "run.json").unlink(), "run.json: not there"),
    "the manifest is a folder": (
        lambda folder: ((folder / "run.json").unlink(), (folder / "run.json").mkdir()),
        "run.json: cannot be read: it is a directory",
    ),
    "an empty manifest": (write("run.json", ""), "run.json: not a run's manifest"),
    "half a manifest": (write("run.json", '{"format": 1, "run": "x'), "run.json: not a run's manifest"),
    "a manifest that is no text": (
        lambda folder: (folder / "run.json").write_bytes(b"\xff\xfe"),
        "run.json: not a run's manifest",
    ),
    "a list": (write("run.json", "[]"), r"run.json: not a run's manifest: Expected `object`"),
    "no seed": (write("run.json", '{"run": "x", "started": 1}'), "run.json: .*missing required field `seed`"),
    "seed": (rewrite("run.json", seed="x"), r"run.json: .*Expected `int`, got `str` - at `\$.seed`"),
    "cells": (rewrite("run.json", cells=[1]), r"run.json: .*Expected `object`, got `int`"),
    "another format": (rewrite("run.json", format=9), "run.json: format 9; this version reads format 1"),
    "a cell twice": (twice, "run.json: cells: docker:a is there twice"),
    "a cell in another's file": (elsewhere, "run.json: cells: the file of docker:a is docker-a.jsonl, not '../../etc"),
    "a cell's file is gone": (
        lambda folder: (folder / "docker-a.jsonl").unlink(),
        "docker-a.jsonl: the footer is missing, but run.json has no problem of the cell",
    ),
    "a cell's file is cut": (
        lambda folder: (folder / "docker-a.jsonl").write_bytes((folder / "docker-a.jsonl").read_bytes()[:-2]),
        "docker-a.jsonl: the footer is missing, but run.json has no problem of the cell",
    ),
    "a cell's file is a folder": (
        lambda folder: ((folder / "docker-a.jsonl").unlink(), (folder / "docker-a.jsonl").mkdir()),
        "docker-a.jsonl: cannot be read",
    ),
    "a line of a cell": (add("docker-a.jsonl", "{}\n"), "docker-a.jsonl:6: not a record of a cell"),
    "a line after the footer": (
        add("docker-a.jsonl", records.encode(trial(NAMES[0])).decode() + "\n"),
        "docker-a.jsonl:6: a record after the footer",
    ),
    "a cell of another format": (rewrite("docker-a.jsonl", format=3), "docker-a.jsonl:1: format 3"),
    "a cell's plan": (rewrite("docker-a.jsonl", planned=["x::y"]), "docker-a.jsonl:2: a verdict on 'signals::one"),
    "a judgement that is none": (write("judgements.jsonl", "{}\n"), "judgements.jsonl:1: not a judgement: .*`cell`"),
    "a judgement that is no JSON": (write("judgements.jsonl", "so\n"), "judgements.jsonl:1: not a judgement"),
    "a judgement in no cell": (
        write("judgements.jsonl", json.dumps(RULING | {"cell": "host"}) + "\n"),
        "judgements.jsonl:1: a judgement in 'host', which is not in the plan of run.json",
    ),
    "a judgement on another verdict": (
        write("judgements.jsonl", json.dumps(RULING) + "\n"),
        "docker-a.jsonl: signals::one_is_ignored: pass, but judgements.jsonl judges fail",
    ),
    "a cell's file is a circle of links": (linked, "docker-a.jsonl: cannot be read: Too many levels of symbolic links"),
    "a cell's file is a pipe": (piped, "docker-a.jsonl: cannot be read: it is a pipe"),
    "a manifest of a hundred thousand levels": (
        write("run.json", '{"request": ' + '{"x": [' * 50_000),
        "run.json: not a run's manifest: its values are nested too deeply",
    ),
    "a record of a hundred thousand levels": (
        add("docker-a.jsonl", '{"kind": "trial", "x": ' + "[" * 100_000 + "\n"),
        "docker-a.jsonl:6: not a record of a cell: its values are nested too deeply",
    ),
    "the end before the start": (rewrite("run.json", finished=1), r"run.json: finished: 1.000 is before `started`"),
    "a cell's end before its start": (
        of_cell(started=3.5, finished=2),
        r"run.json: cells: docker:a: finished: 2.000 is before `started`, 3.500",
    ),
    "a start too late": (rewrite("run.json", started=1e308), r"run.json: .*`float` <= .* - at `\$.started`"),
    "a negative start": (of_cell(started=-1), r"run.json: .*`float` >= 0.0 - at `\$.cells\[0\].started`"),
    "a scenario planned twice": (
        lambda folder: rewrite("run.json", scenarios=json.loads((folder / "run.json").read_text())["scenarios"] * 2)(
            folder
        ),
        f"run.json: scenarios: {NAMES[0]} is there twice",
    ),
    "a trial planned twice": (
        rewrite("docker-a.jsonl", planned=[*NAMES, NAMES[1]]),
        f"docker-a.jsonl:1: planned: '{NAMES[1]}' is there twice",
    ),
    "the header of another environment": (
        rewrite("docker-a.jsonl", environment={"name": "host"}),
        "docker-a.jsonl:1: environment.name: 'host', but the cell's is 'docker:a'",
    ),
    "the header of another platform": (
        rewrite("docker-a.jsonl", platform="mine"),
        "docker-a.jsonl:1: platform: 'mine', but the cell's is 'reference'",
    ),
    "two headers": (
        lambda folder: (folder / "docker-a.jsonl").write_text(
            (folder / "docker-a.jsonl").read_text().partition("\n")[0] + "\n" + (folder / "docker-a.jsonl").read_text()
        ),
        "docker-a.jsonl:2: a second header",
    ),
    "seconds below zero": (second("docker-a.jsonl", seconds=-1), r"docker-a.jsonl:2: .*>= 0.0 - at `\$.seconds`"),
    "seconds without end": (second("docker-a.jsonl", seconds=1e308), r"docker-a.jsonl:2: .*<= .* - at `\$.seconds`"),
    "a verdict that is none": (second("docker-a.jsonl", verdict="so"), r"docker-a.jsonl:2: .* - at `\$.verdict`"),
    "a trial reported twice": (
        second("docker-a.jsonl", scenario=NAMES[1]),
        f"docker-a.jsonl:3: a second verdict on '{NAMES[1]}'",
    ),
    "other counts": (last("docker-a.jsonl", counts={"pass": 2}), "docker-a.jsonl:5: the footer counts {'pass': 2}"),
    "a cell that ended before it began": (
        last("docker-a.jsonl", finished=0.5),
        "docker-a.jsonl:5: finished: 0.500 is before the header's `started`, 1.000",
    ),
    "half a line after the footer": (
        add("docker-a.jsonl", '{"kind":'),
        "docker-a.jsonl:6: an incomplete line after the footer",
    ),
    "a judgement on what was not planned": (
        write("judgements.jsonl", json.dumps(RULING | {"scenario": "x::y"}) + "\n"),
        "judgements.jsonl: a judgement on 'x::y', which was not planned in docker:a",
    ),
    "a prediction without its reason": (
        of_cell(forecast={"verdicts": {NAMES[0]: ["fail", 3]}}),
        r"run.json: .*verdicts: signals::one_is_ignored has reason 3 of 0 - at `\$.cells\[0\].forecast`",
    ),
    "an unknown verdict": (
        write("judgements.jsonl", json.dumps(RULING | {"verdict": "so so"}) + "\n"),
        r"judgements.jsonl:1: not a judgement: Invalid enum value 'so so' - at `\$.verdict`",
    ),
}


@pytest.mark.parametrize(("damage", "message"), DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_folder_is_an_error_and_stays_unchanged(
    go, tmp_path: Path, damage: Callable[[Path], object], message: str
) -> None:
    go(place("docker:a", GOOD))
    damage(tmp_path)
    before = {path.name: path.is_file() and path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(ResultError, match=f"{tmp_path}/{message}"):
        reader.read(tmp_path)
    assert {path.name: path.is_file() and path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("name", ["run.json", "judgements.jsonl", "docker-a.jsonl"])
def test_a_file_of_a_terabyte_is_refused_unread(go, tmp_path: Path, name: str) -> None:
    go(place("docker:a", GOOD))
    with (tmp_path / name).open("ab") as file:
        file.truncate(1 << 40)
    with pytest.raises(ResultError, match=f"{tmp_path / name}: cannot be read: it is larger than 256 MiB"):
        reader.read(tmp_path)


def test_a_damaged_line_of_a_killed_run_is_an_error_too(go, tmp_path: Path) -> None:
    go(place("docker:a", frames([header(), PASSES[0]]), status=137))
    add("docker-a.jsonl", "{}\n")(tmp_path)
    with pytest.raises(Damaged, match=r"docker-a\.jsonl:3"):
        reader.read(tmp_path)


# --------------------------------------------------------------------------------------------------------------- find


def test_a_run_is_found_by_path_by_name_and_as_last(go, tmp_path: Path) -> None:
    go(place("docker:a", GOOD))
    for name in ("20260101T000000-aaaa", "20260301T000000-aaaa", "20260201T000000-ffff", "baseline"):
        (tmp_path / "results" / name).mkdir(parents=True)
        for file in ("run.json", "docker-a.jsonl"):
            shutil.copy(tmp_path / file, tmp_path / "results" / name)
    assert reader.find(str(tmp_path)) == tmp_path
    assert reader.find("20260201T000000-ffff", tmp_path / "results").name == "20260201T000000-ffff"
    assert reader.find("last", tmp_path / "results").name == "20260301T000000-aaaa"


def test_the_last_run_is_one_in_which_anything_ran_and_no_repetition(go, tmp_path: Path) -> None:
    results = tmp_path / "results"
    go(place("docker:a", GOOD))
    for name in ("20260101T000000-aaaa", "repro-20260401T000000-aaaa", "kernels-20260401T000000-aaaa"):
        shutil.copytree(tmp_path, results / name, ignore=shutil.ignore_patterns("results"))
    for name, files in {"20260201T000000-aaaa": ("run.json",), "20260301T000000-aaaa": ()}.items():
        (results / name).mkdir()
        for file in files:
            shutil.copy(tmp_path / file, results / name)
    assert reader.find("last", results).name == "20260101T000000-aaaa"
    shutil.rmtree(results / "20260101T000000-aaaa")
    with pytest.raises(NoRun, match="nothing ran in any of the 1 runs there"):
        reader.find("last", results)


def test_a_damaged_last_run_is_not_passed_over(go, tmp_path: Path) -> None:
    results = tmp_path / "results"
    go(place("docker:a", GOOD))
    for name in ("20260101T000000-aaaa", "20260201T000000-aaaa"):
        shutil.copytree(tmp_path, results / name, ignore=shutil.ignore_patterns("results"))
    (results / "20260201T000000-aaaa" / "docker-a.jsonl").write_text("so\n")
    assert reader.find("last", results).name == "20260201T000000-aaaa"


def test_the_baseline_of_the_package_is_found_where_there_is_no_other(tmp_path: Path) -> None:
    own = reader.find("baseline", tmp_path)
    assert (own / "baseline.jsonl").is_file()
    (tmp_path / "baseline").mkdir()
    assert reader.find("baseline", tmp_path) == tmp_path / "baseline"


def test_an_unknown_run_is_an_error_with_the_nearest_name(go, tmp_path: Path) -> None:
    go(place("docker:a", GOOD))
    shutil.copytree(tmp_path, tmp_path / "results" / "20260101T000000-aaaa")
    with pytest.raises(NoRun, match=r"did you mean 20260101T000000-aaaa"):
        reader.find("20260101T000000-aaab", tmp_path / "results")


@pytest.mark.parametrize("name", ["nothing", "last", "run.json"])
def test_a_missing_run_is_an_error(name: str, tmp_path: Path) -> None:
    with pytest.raises(NoRun, match=str(tmp_path)):
        reader.find(name, tmp_path)


def test_facts_known_at_the_end_of_a_cell_are_written(go, tmp_path: Path) -> None:
    """The kernel of a booted machine is known only then."""
    late = place("linux-6.12", GOOD)
    late.facts = {"engine": "none"}

    def learn() -> bytes:
        late.facts["kernel"] = "6.12.9"
        return b"\n"

    late.script = place("x", [learn, *GOOD]).script
    go(late)
    assert reader.read(tmp_path).cells[0].plan.facts == {"engine": "none", "kernel": "6.12.9"}


@pytest.mark.parametrize("newest", range(3))
def test_the_last_of_runs_that_started_in_one_second_started_last(tmp_path: Path, newest: int) -> None:
    for number, end in enumerate(("0a1b", "ffff", "5c2d")):
        folder = tmp_path / f"20260102T030405-{end}"
        folder.mkdir()
        started = 1767323045.5 if number == newest else 1767323045.0
        (folder / manifest.FILE).write_text(json.dumps({"started": started}))
    assert reader.find("last", tmp_path).name[-4:] == ("0a1b", "ffff", "5c2d")[newest]
