"""Splits the places of a run into shards, which machines run separately and `results.merging` merges."""

from __future__ import annotations

import re
from dataclasses import replace

import msgspec

from worldswitch.harness.environments import places
from worldswitch.harness.environments.places import Place
from worldswitch.harness.errors import CouldNotRun
from worldswitch.harness.run.request import Request


class Shard(msgspec.Struct, frozen=True):
    """A part of a run: the `number`-th of `count` parts, counted from 1."""

    number: int
    count: int

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"


def parse(text: str) -> Shard:
    """Return the shard that a text like ``2/5`` names.  Raises ValueError."""
    found = re.fullmatch(r"([0-9]+)/([0-9]+)", text)
    if not found or not 1 <= int(found[1]) <= int(found[2]):
        raise ValueError(f"expected a shard such as 2/5, with numbers from 1/5 to 5/5, got {text!r}")
    return Shard(int(found[1]), int(found[2]))


def of(request: Request) -> list[Place]:
    """Return the places of the whole request.  Raises `CouldNotRun`."""
    return places.places(request.where, request.profiles, request.kernels)


def part(request: Request, shard: Shard) -> Request:
    """Return the request of one shard: neighbours in the plan, which share kernels and images.

    Raises `CouldNotRun` if the shard is empty.
    """
    whole = of(request)
    begin, end = ((len(whole) * number) // shard.count for number in (shard.number - 1, shard.number))
    if begin == end:
        raise CouldNotRun(f"--shard {shard}: the run has {len(whole)} cells, so at most {len(whole)} shards")
    engine, profiles, kernels = places.narrowed(request.where, whole[begin:end])
    chosen = tuple(place.name for place in whole[begin:end])
    every = tuple(place.name for place in whole)
    return replace(request, engine=engine, profiles=profiles, kernels=kernels, cells=chosen, whole=every)
