"""A strict parser of KTAP version 1 (Documentation/dev-tools/ktap.rst in the kernel)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

VERSION = "KTAP version 1"
PLAN = re.compile(r"1\.\.(\d+)")
RESULT = re.compile(r"(ok|not ok) (\d+)(?: ([^#\n]*?))?(?: # ?(.*))?")
DIRECTIVES = ("SKIP", "TODO", "XFAIL", "TIMEOUT", "ERROR")


@dataclass
class Test:
    """A test and its subtests."""

    ok: bool = True
    name: str = ""
    directive: str = ""
    more: str = ""
    remarks: list[str] = field(default_factory=list)
    tests: list[Test] = field(default_factory=list)


def parse(text: str) -> Test:
    """Parse a complete output; raises AssertionError on a syntax error."""
    lines = iter(text.splitlines())
    whole = Test(tests=_level(lines, 0))
    assert next(lines, None) is None, "lines after the last result"
    return whole


def _level(lines: Iterator[str], depth: int, first: str | None = None) -> list[Test]:
    """Parse one level: version, plan, and the planned number of results, each after its subtests or remarks."""
    indent = "  " * depth
    head = first if first is not None else next(lines)
    assert head == indent + VERSION, f"no version line: {head!r}"
    line = next(lines)
    plan = PLAN.fullmatch(line.removeprefix(indent))
    assert plan, f"no plan: {line!r}"
    tests: list[Test] = []
    while len(tests) < int(plan[1]):
        tests.append(_test(lines, depth, len(tests) + 1))
    return tests


def _test(lines: Iterator[str], depth: int, number: int) -> Test:
    indent, test = "  " * depth, Test()
    for line in lines:
        if line == indent + "  " + VERSION:
            assert not test.tests, "two lists of subtests in one test"
            test.tests = _level(lines, depth + 1, line)
            continue
        assert line.startswith(indent), f"a level ends before its plan is met: {line!r}"
        text = line.removeprefix(indent)
        if text.startswith("#"):
            test.remarks.append(text[1:].strip())
            continue
        result = RESULT.fullmatch(text)
        assert result, f"neither result nor remark: {line!r}"
        assert int(result[2]) == number, f"expected number {number}, got {result[2]}"
        test.ok, test.name, rest = result[1] == "ok", result[3] or "", result[4] or ""
        word, _, more = rest.partition(" ")
        test.directive, test.more = (word, more) if word in DIRECTIVES else ("", rest)
        return test
    raise AssertionError("the output ends before its plan is met")
