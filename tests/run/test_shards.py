"""A matrix is split into shards, the same on every machine, and each cell is in one of them."""

from __future__ import annotations

import json
import random
import shlex

import pytest

from worldswitch.harness.cli import main, run
from worldswitch.harness.environments.kernels import fetch, selection
from worldswitch.harness.run import shards
from worldswitch.harness.run.request import Request

WHOLE = Request(engine="docker", kernels=selection.names())


@pytest.mark.parametrize("parts", [1, 2, 5, 66])
def test_each_cell_is_in_one_shard(parts: int) -> None:
    whole = shards.cells(WHOLE)
    found = shards.split(whole, parts)
    assert sorted(name for own in found for name in own) == sorted(whole)
    assert len(found) == parts


def test_the_order_of_cells_changes_nothing() -> None:
    whole = shards.cells(WHOLE)
    mixed = random.Random(7).sample(whole, len(whole))
    assert [set(own) for own in shards.split(mixed, 5)] == [set(own) for own in shards.split(whole, 5)]


def test_shards_have_as_much_work_though_not_as_many_cells() -> None:
    loads = [sum(map(shards.work, own)) for own in shards.split(shards.cells(WHOLE), 5)]
    assert max(loads) < 1.1 * min(loads)
    assert shards.work("linux-6.12:no-ptrace") < shards.work("linux-6.12:docker-default") / 3
    assert shards.work("linux-99.9:mine") == shards.START + shards.UNKNOWN


def test_a_shard_asks_only_for_its_own_kernels() -> None:
    whole = Request(engine="docker", kernels=("5.10", "6.12"), profiles=("hardened",))
    first = shards.shard(whole, "1/2")
    assert (first.kernels, first.cells, first.shard) == (("6.12",), ("linux-6.12:hardened",), "1/2")
    assert first.whole == ("linux-5.10:hardened", "linux-6.12:hardened")


@pytest.mark.parametrize("text", ["", "2", "0/3", "4/3", "a/b", "1/0", "-1/2", "1/2/3"])
def test_a_bad_shard_is_refused(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        main.main(["matrix", f"--shard={text}"])
    assert refused.value.code == 2
    assert f"expected K/N with 1 ≤ K ≤ N, as in 2/5, got {text!r}" in capsys.readouterr().err


def test_an_empty_shard_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--kernel", "6.12", "--profile", "hardened", "--shard", "2/2"]
    assert main.main(["matrix", *arguments]) == 2
    assert "--shard 2/2: the matrix has 1 cells, so this shard would be empty" in capsys.readouterr().err


def test_the_list_of_jobs_runs_each_cell_and_fetches_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(fetch, "obtain", lambda *_: pytest.fail("fetched"))
    arguments = ["--quick", "--deadline", "9", "--seed", "7"]
    assert main.main(["matrix", *arguments, "--list-json"]) == 0
    jobs = json.loads(capsys.readouterr().out)["include"]
    assert len({job["name"] for job in jobs}) == len(jobs) == 9
    asked: list[Request] = []
    monkeypatch.setattr(run, "carry_out", lambda request, *_, **__: asked.append(request) or 0)
    for job in jobs:
        assert main.main(["matrix", *shlex.split(job["arguments"])]) == 0
    assert [shards.cells(request) for request in asked] == [[job["name"]] for job in jobs]
    assert {(request.seed, request.deadline, len(request.ids) > 20) for request in asked} == {(7, 9.0, True)}
