"""Bisects a list of kernels for the first bad one.

Each step judges the kernel nearest to the middle that is not known to be untestable, so the result may be a range of
several kernels.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from worldswitch.harness.errors import CouldNotRun

T = TypeVar("T")


class Answer(enum.Enum):
    """The answer for one kernel."""

    GOOD = "good"
    BAD = "bad"
    UNTESTABLE = "untestable"  #: it is not available, does not boot, or lacks what the scenario needs


class Undecidable(CouldNotRun):
    """There is no boundary to search for; the message says why."""


@dataclass(frozen=True, slots=True)
class Boundary(Generic[T]):
    """The last good kernel and the first bad one."""

    good: T  #: the last known good one
    bad: T  #: the first known bad one
    between: tuple[T, ...]  #: untestable: any of these may be the first bad one


def search(versions: Sequence[T], judge: Callable[[T], Answer]) -> Boundary[T]:
    """Return the boundary within `versions`, of which the first must be good and the last bad.

    Both ends are judged first.  Each version is judged at most once.  Raises `Undecidable`.
    """
    if len(versions) < 2:
        raise Undecidable("there must be at least two kernels")
    for end, wanted in ((versions[0], Answer.GOOD), (versions[-1], Answer.BAD)):
        answer = judge(end)
        if answer is not wanted:
            raise Undecidable(f"{end} should be {wanted.value}, but is {answer.value}")
    good, bad = 0, len(versions) - 1
    untestable: set[int] = set()
    while (index := _next(good, bad, untestable)) is not None:
        match judge(versions[index]):
            case Answer.GOOD:
                good = index
            case Answer.BAD:
                bad = index
            case Answer.UNTESTABLE:
                untestable.add(index)
    return Boundary(versions[good], versions[bad], tuple(versions[good + 1 : bad]))


def _next(good: int, bad: int, untestable: set[int]) -> int | None:
    """Return the index nearest to the middle that is not untestable; None if there is none."""
    middle = (good + bad) / 2
    left = [index for index in range(good + 1, bad) if index not in untestable]
    return min(left, key=lambda index: abs(index - middle), default=None)
