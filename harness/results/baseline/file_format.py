"""The lines of a baseline: one JSON object a line, so that two baselines can be compared by diff.

First the `Head`, then the `Facts` of each behaviour, then the `BaselineCell`s.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

import msgspec

from worldswitch.harness.cell.records import Count, Moment
from worldswitch.harness.expectations.judgement import Judgement
from worldswitch.harness.results import reader
from worldswitch.harness.verdict import Verdict

FORMAT = 1
FILE = "baseline.jsonl"
PLACE = reader.PLACE / "baseline"


#: The expected verdicts of trials, the reason, and the rule.
Thought: TypeAlias = tuple[tuple[Verdict, ...], str, str]

PLAIN: Thought = ((Verdict.PASS,), "", "")

#: The fields that the head has in common with the manifest, and a cell with a fingerprint.
OF_MANIFEST = ("run", "started", "finished", "seed", "kernel", "versions", "expectations")
OF_FINGERPRINT = ("kernel", "machine", "cpu", "cpus", "python", "behaviour")


class Head(msgspec.Struct, frozen=True, kw_only=True, tag="baseline", tag_field="kind"):
    """The first line."""

    format: int = FORMAT
    run: str
    started: Moment
    finished: Moment
    seed: int
    kernel: str
    versions: dict[str, str]
    expectations: str
    scenarios: tuple[tuple[str, str], ...]  #: name, and ids separated by spaces
    thoughts: tuple[Thought, ...]  #: all judgements; the first is the default


class Facts(msgspec.Struct, frozen=True, kw_only=True, tag="facts", tag_field="kind"):
    """The facts of kernels with the same behaviour."""

    number: int
    facts: dict[str, str]


class BaselineCell(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="cell", tag_field="kind"):
    """One cell."""

    environment: str
    platform: str
    verdicts: str  #: a letter for each of the head's scenarios; capitals are unexpected
    thoughts: dict[str, str] = {}  #: the scenarios of each number in the head's `thoughts`: ``0-3 7``
    kernel: str = ""
    machine: str = ""
    cpu: str = ""
    cpus: Count = 0
    python: str = ""
    repeat: str = ""
    behaviour: str = ""
    facts: int | None = None  #: the number of their `Facts`
    probes: dict[str, str] = {}  #: their names, by state
    problem: str = ""
    unsound: bool = False  #: `Problem.unexpected`


Line: TypeAlias = Head | Facts | BaselineCell


def thought(judgement: Judgement) -> Thought:
    """Return the part of a judgement that the baseline has."""
    return tuple(sorted(judgement.wanted)), judgement.reason, judgement.rule


def ranges(numbers: Iterable[int]) -> str:
    """Format ascending numbers: ``0-3 7``."""
    found: list[list[int]] = []
    for number in numbers:
        if found and found[-1][1] == number - 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return " ".join(f"{first}-{last}" if last > first else f"{first}" for first, last in found)


def numbers(text: str, limit: int) -> list[int]:
    """Parse the output of `ranges`, of numbers below `limit`.  Raises ValueError."""
    found: list[int] = []
    for part in text.split():
        first, dash, last = part.partition("-")
        begin, end = int(first), int(last if dash else first)
        if not (found[-1] if found else -1) < begin <= end < limit:
            raise ValueError(f"{part!r} is no range of ascending numbers below {limit}")
        found += range(begin, end + 1)
    return found
