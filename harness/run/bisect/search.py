"""Between two kernels, the first on which something is no longer as it was.

The kernels are tried from the middle; one that cannot be judged is left aside for its nearest neighbour, so that the
answer may be a stretch of several kernels.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


class Answer(enum.Enum):
    """What one kernel showed."""

    GOOD = "good"
    BAD = "bad"
    UNTESTABLE = "untestable"  #: it cannot be had, does not boot, or lacks what the question needs


class Undecidable(Exception):
    """There is no boundary to look for; the message says why."""


@dataclass(frozen=True, slots=True)
class Boundary(Generic[T]):
    """Where it turns."""

    good: T  #: the last that is known to be good
    bad: T  #: the first that is known to be bad
    between: tuple[T, ...]  #: could not be judged: any of these may be the first bad one


def search(versions: Sequence[T], judge: Callable[[T], Answer]) -> Boundary[T]:
    """The boundary within `versions`, of which the first should be good and the last bad.

    Both ends are judged first; `Undecidable` if either is not what it should be.  Each is judged at most once.
    """
    if len(versions) < 2:
        raise Undecidable("there must be at least two kernels")
    for end, wanted in ((versions[0], Answer.GOOD), (versions[-1], Answer.BAD)):
        answer = judge(end)
        if answer is not wanted:
            raise Undecidable(f"{end} should be {wanted.value}, and is {answer.value}")
    good, bad = 0, len(versions) - 1
    untestable: set[int] = set()
    while (place := _next(good, bad, untestable)) is not None:
        match judge(versions[place]):
            case Answer.GOOD:
                good = place
            case Answer.BAD:
                bad = place
            case Answer.UNTESTABLE:
                untestable.add(place)
    return Boundary(versions[good], versions[bad], tuple(versions[good + 1 : bad]))


def _next(good: int, bad: int, untestable: set[int]) -> int | None:
    """The place nearest to the middle that has not been found untestable, if any is left."""
    middle = (good + bad) / 2
    left = [place for place in range(good + 1, bad) if place not in untestable]
    return min(left, key=lambda place: abs(place - middle), default=None)
