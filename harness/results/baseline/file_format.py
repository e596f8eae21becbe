"""The lines of a baseline's file: JSON, one object a line, so that the difference of two can be read.

First the `Head`, then the `Facts` of each behaviour, then the `BaselineCell`s.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

import msgspec

from worldswitch.harness.expectations.judgement import PASSES, Judgement
from worldswitch.harness.results import reader
from worldswitch.harness.verdict import Verdict

FORMAT = 1
FILE = "baseline.jsonl"
PLACE = reader.PLACE / "baseline"


class BaselineJudgement(msgspec.Struct, frozen=True, array_like=True):
    """What was to be expected of trials, why, and which rule says so."""

    wanted: tuple[Verdict, ...]
    reason: str = ""
    rule: str = ""


class Head(msgspec.Struct, frozen=True, kw_only=True, tag="baseline", tag_field="kind"):
    """The first line."""

    format: int = FORMAT
    run: str
    started: float  #: seconds since 1970
    finished: float
    seed: int
    kernel: str
    versions: dict[str, str]
    expectations: str
    scenarios: tuple[tuple[str, str], ...]  #: name, and ids
    thoughts: tuple[BaselineJudgement, ...]  #: the first is that of every trial of which its cell says no other


class Facts(msgspec.Struct, frozen=True, kw_only=True, tag="facts", tag_field="kind"):
    """How some kernel behaves."""

    number: int
    facts: dict[str, str]


class BaselineCell(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="cell", tag_field="kind"):
    """One cell."""

    environment: str
    platform: str
    verdicts: str  #: a letter for each of the head's scenarios; capitals were not expected
    thoughts: dict[str, str] = {}  #: the number of a thought, and of which scenarios it is: ``0-3 7``
    kernel: str = ""
    machine: str = ""
    cpu: str = ""
    cpus: int = 0
    python: str = ""
    repeat: str = ""
    behaviour: str = ""
    facts: int | None = None  #: their number
    probes: dict[str, str] = {}  #: what they found, and their names
    problem: str = ""
    unsound: bool = False  #: the problem says something against what was under test


Line: TypeAlias = Head | Facts | BaselineCell

PLAIN = BaselineJudgement((Verdict.PASS,))


def baseline_judgement(judgement: Judgement) -> BaselineJudgement:
    """What was thought, as it is kept."""
    wanted = tuple(sorted(judgement.wanted, key=lambda verdict: verdict.value))
    return (
        PLAIN
        if judgement.wanted == PASSES and not judgement.reason
        else BaselineJudgement(wanted, judgement.reason, judgement.rule)
    )


def ranges(numbers: Iterable[int]) -> str:
    """Ascending numbers as text: ``0-3 7``."""
    found: list[list[int]] = []
    for number in numbers:
        if found and found[-1][1] == number - 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return " ".join(f"{first}-{last}" if last > first else f"{first}" for first, last in found)


def numbers(text: str) -> list[int]:
    """The numbers that `ranges` wrote; ValueError if it did not."""
    ends = [part.partition("-") for part in text.split()]
    return [number for first, _, last in ends for number in range(int(first), int(last or first) + 1)]
