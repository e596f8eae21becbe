"""What a worker says: a line of JSON for each benchmark, and one for how it was disturbed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeAlias

import msgspec

from worldswitch.harness.cell import frames


class Measured(msgspec.Struct, frozen=True, tag="measured"):
    """One benchmark's values in one process, each for one loop."""

    name: str
    loops: int
    values: tuple[float, ...]
    warmups: tuple[tuple[int, float], ...] = ()  #: from finding the number of loops: loops, value


class NotMeasured(msgspec.Struct, frozen=True, tag="absent"):
    """A benchmark that cannot be had here, and why."""

    name: str
    reason: str


class Disturbance(msgspec.Struct, frozen=True, tag="disturbance"):
    """What others took while a worker measured, seen by spinning for a moment between the values."""

    wall: float  #: seconds that the spinning took
    taken: float  #: of these, seconds in which it did not run
    involuntary: int  #: how often it was made to wait by another process
    own: float  #: seconds of CPU that the worker and its children used in all


Message: TypeAlias = Measured | NotMeasured | Disturbance

_decode = msgspec.json.Decoder(Message).decode


def encode(word: Message) -> bytes:
    """A word as a line."""
    return frames.encode(msgspec.json.encode(word))


def read(lines: Iterable[bytes]) -> Iterator[Message]:
    """The words among the lines; what a library printed is none."""
    for line in lines:
        payload = frames.decode(line)
        if payload is not None:
            yield _decode(payload)
