"""A worker's messages: one line of JSON per benchmark, and one for the disturbance by other processes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeAlias

import msgspec

from worldswitch.harness.cell import frames


class Measured(msgspec.Struct, frozen=True, tag="measured"):
    """One benchmark's values in one process."""

    name: str
    loops: int  #: loops timed for each value
    values: tuple[float, ...]  #: in the benchmark's unit, per loop
    warmups: tuple[tuple[int, float], ...] = ()  #: of the calibration: loops, value


class NotMeasured(msgspec.Struct, frozen=True, tag="absent"):
    """A benchmark that could not be measured, and why."""

    name: str
    reason: str


class Disturbance(msgspec.Struct, frozen=True, tag="disturbance"):
    """CPU time that other processes took from a worker, measured by spinning between the values."""

    wall: float  #: seconds of spinning, by the wall clock
    taken: float  #: seconds of these in which the thread did not run
    involuntary: int  #: involuntary context switches while spinning
    own: float  #: CPU seconds that the worker and its children used in all


Message: TypeAlias = Measured | NotMeasured | Disturbance


def absent(names: Iterable[str], reason: str) -> list[Message]:
    """Return the same reason for each benchmark."""
    return [NotMeasured(name, reason) for name in names]


_decode = msgspec.json.Decoder(Message).decode


def encode(message: Message) -> bytes:
    """Return a message as a line."""
    return frames.encode(msgspec.json.encode(message))


def read(lines: Iterable[bytes]) -> Iterator[Message]:
    """Yield the messages among the lines; skip any other output."""
    for line in lines:
        payload = frames.decode(line)
        if payload is not None:
            yield _decode(payload)
