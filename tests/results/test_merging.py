"""Runs of shards make the run that one machine would have made; contradictions are refused."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import pytest
from scripted import NAMES, frames, place, run_in, trial, whole

from worldswitch.harness.environments.protocol import Missing
from worldswitch.harness.expectations.judgement import Expectation
from worldswitch.harness.expectations.outcome import Problem, tally
from worldswitch.harness.results import manifest, merging, reader
from worldswitch.harness.results.merging import CannotMerge
from worldswitch.harness.results.reader import KeptRun
from worldswitch.harness.verdict import Verdict

GOOD = frames(whole(*(trial(name) for name in NAMES)))
BAD = frames(whole(trial(NAMES[0], Verdict.BLOCKED), trial(NAMES[1]), trial(NAMES[2], Verdict.FAIL, reason="no")))
BLOCKED = Expectation(("SG01",), frozenset({Verdict.BLOCKED}), "no namespaces here")
WHOLE = ("host", "docker:a", "docker:b")


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., KeptRun]:
    """Run in these environments, as a part of `WHOLE`, in the folder `name`."""

    def go(name: str, *places: object, **changes: object) -> KeptRun:
        folder = tmp_path / name
        folder.mkdir()
        run_in(monkeypatch, folder, *places, seed=11)
        kept = reader.read(folder)
        request = {**kept.manifest.request, "whole": WHOLE, **changes}
        content = msgspec.structs.replace(kept.manifest, request=request)
        (folder / manifest.FILE).write_bytes(msgspec.json.encode(content))
        return reader.read(folder)

    return go


@pytest.fixture
def merged(tmp_path: Path) -> Callable[..., KeptRun]:
    """Merge these runs."""

    def go(*runs: KeptRun, lost: dict[str, Problem] | None = None) -> KeptRun:
        folder = tmp_path / "merged"
        folder.mkdir()
        merging.merge(runs, folder, lost)
        return reader.read(folder)

    return go


def outcomes(run: KeptRun, names: Sequence[str] = WHOLE) -> list[object]:
    return [(one.cell, one.judged, one.problem) for one in run.outcomes if one.cell.environment in names]


def test_shards_make_the_run_of_one_machine(run, merged) -> None:
    alone = run("alone", place("host", GOOD), place("docker:a", BAD, BLOCKED), place("docker:b", GOOD))
    second = run("2", place("docker:b", GOOD))
    first = run("1", place("host", GOOD), place("docker:a", BAD, BLOCKED))
    both = merged(second, first)
    assert outcomes(both) == outcomes(alone)
    assert (both.manifest.scenarios, both.manifest.seed) == (alone.manifest.scenarios, 11)
    assert both.manifest.started == min(first.manifest.started, second.manifest.started)
    assert both.manifest.finished == max(first.manifest.finished, second.manifest.finished)


def test_a_lost_shard_is_a_row_of_miss(run, merged) -> None:
    part = run("1", place("host", GOOD), place("docker:a", GOOD))
    both = merged(part, lost={"docker:b": Problem("its worker is gone")})
    cell = both.cell("docker:b")
    assert cell.problem == Problem("its worker is gone")
    assert {judged.trial.verdict for judged in cell.judged} == {Verdict.MISS}
    assert tally(both.outcomes).failed == len(NAMES)


def test_a_cell_of_which_nothing_is_known_is_told(run, merged) -> None:
    assert merged(run("1", place("host", GOOD))).cell("docker:a").problem == Problem(merging.LOST, merging.REMEDY)


def test_a_cell_that_was_run_again_counts_where_it_ran(run, merged) -> None:
    lost = run("1", Missing("host", "no engine", "install one"), place("docker:a", GOOD), place("docker:b", GOOD))
    assert merged(lost, run("2", place("host", GOOD))).cell("host").problem is None


def test_a_cell_that_ran_twice_is_a_contradiction(run, merged) -> None:
    with pytest.raises(CannotMerge, match="host also ran in"):
        merged(run("1", place("host", GOOD)), run("2", place("host", GOOD)))


def test_the_same_run_twice_is_refused(run, merged) -> None:
    part = run("1", place("host", GOOD))
    with pytest.raises(CannotMerge, match="named twice"):
        merged(part, part)


@pytest.mark.parametrize(("field", "value"), [("repeat", "soak"), ("platforms", ("other",)), ("ids", ("SG01",))])
def test_runs_of_other_requests_are_refused(run, merged, field: str, value: object) -> None:
    with pytest.raises(CannotMerge, match=rf"request\.{field}"):
        merged(run("1", place("host", GOOD)), run("2", place("docker:a", GOOD), **{field: value}))


def test_an_unfinished_shard_is_an_unfinished_run(run, merged) -> None:
    part, cut = run("1", place("host", GOOD)), run("2", place("docker:a", GOOD))
    content = msgspec.structs.replace(cut.manifest, finished=None)
    (cut.folder / manifest.FILE).write_bytes(msgspec.json.encode(content))
    assert merged(part, reader.read(cut.folder)).manifest.finished is None


def test_differences_of_the_machines_are_told(run) -> None:
    one, other = run("1", place("host", GOOD)), run("2", place("docker:a", GOOD))
    assert list(merging.differences([one, other])) == []
    content = msgspec.structs.replace(other.manifest, kernel="Linux 1", versions={"worldswitch": "9"})
    (other.folder / manifest.FILE).write_bytes(msgspec.json.encode(content))
    told = list(merging.differences([one, reader.read(other.folder)]))
    assert any(line.startswith("worldswitch is ") and line.endswith(" and 9") for line in told)
    assert any("Linux 1" in line for line in told)
