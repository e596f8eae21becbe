"""Shards are disjoint, complete, and in the order of the plan."""

from __future__ import annotations

import pytest

from worldswitch.harness.errors import CouldNotRun
from worldswitch.harness.run import sharding
from worldswitch.harness.run.request import Request
from worldswitch.harness.run.sharding import Shard

REQUEST = Request(engine="docker", profiles=("hardened", "no-ptrace", "unconfined"), kernels=("6.1", "6.12"))
WHOLE = tuple(place.name for place in sharding.of(REQUEST))


@pytest.mark.parametrize("count", range(1, 7))
def test_the_shards_make_up_the_run(count: int) -> None:
    parts = [sharding.part(REQUEST, Shard(number, count)) for number in range(1, count + 1)]
    assert tuple(cell for part in parts for cell in part.cells) == WHOLE
    assert {part.whole for part in parts} == {WHOLE}
    sizes = [len(part.cells) for part in parts]
    assert max(sizes) - min(sizes) <= 1


def test_a_shard_names_only_its_kernels_and_profiles() -> None:
    part = sharding.part(REQUEST, Shard(1, 6))
    assert (part.kernels, part.profiles, part.cells) == (("6.1",), ("hardened",), ("linux-6.1:hardened",))
    assert not part.is_whole


def test_the_places_of_a_named_profile_are_containers_alone() -> None:
    assert [place.name for place in sharding.of(Request(profiles=("hardened",)))] == ["docker:hardened"]


def test_an_empty_shard_is_refused() -> None:
    with pytest.raises(CouldNotRun, match="the run has 6 cells, so at most 6 shards"):
        sharding.part(REQUEST, Shard(1, 7))


@pytest.mark.parametrize("text", ["", "1", "0/2", "3/2", "1/0", "-1/2", "a/b", "1/2/3", "1.0/2"])
def test_other_texts_name_no_shard(text: str) -> None:
    with pytest.raises(ValueError, match="expected a shard such as 2/5"):
        sharding.parse(text)


def test_a_text_names_a_shard() -> None:
    assert sharding.parse("2/5") == Shard(2, 5)
