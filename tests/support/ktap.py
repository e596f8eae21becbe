"""A parser of KTAP version 1, by the grammar in the kernel's Documentation/dev-tools/ktap.rst; strict where that is."""

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
    """One test, with those below it."""

    ok: bool = True
    name: str = ""
    directive: str = ""
    more: str = ""
    remarks: list[str] = field(default_factory=list)
    tests: list[Test] = field(default_factory=list)


def parse(text: str) -> Test:
    """The tests of a whole output; AssertionError says what is not grammatical."""
    lines = iter(text.splitlines())
    whole = Test(tests=_level(lines, 0))
    assert next(lines, None) is None, "something follows the last result"
    return whole


def _level(lines: Iterator[str], depth: int, first: str | None = None) -> list[Test]:
    """One level: version, plan, and as many results as planned, each after its own level or remarks."""
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
            assert not test.tests, "a second level below one test"
            test.tests = _level(lines, depth + 1, line)
            continue
        assert line.startswith(indent), f"a level ends before its plan is met: {line!r}"
        said = line.removeprefix(indent)
        if said.startswith("#"):
            test.remarks.append(said[1:].strip())
            continue
        result = RESULT.fullmatch(said)
        assert result, f"neither result nor remark: {line!r}"
        assert int(result[2]) == number, f"number {result[2]} where {number} should be"
        test.ok, test.name, rest = result[1] == "ok", result[3] or "", result[4] or ""
        word, _, more = rest.partition(" ")
        test.directive, test.more = (word, more) if word in DIRECTIVES else ("", rest)
        return test
    raise AssertionError("the output ends before its plan is met")
