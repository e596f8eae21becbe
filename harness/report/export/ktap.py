"""Exports a run as KTAP version 1, the kernel's test protocol, which TAP consumers read too.

Tests are nested: cells, families, trials.  The result of a trial:

    as expected     pass: `ok`;  unsupported, blocked: `ok # SKIP`;  anything else: `ok # XFAIL`, as its rule says
    not expected    `not ok`, timeout with `# TIMEOUT`, error and miss with `# ERROR`

A cell with an unexpected problem of its own is `not ok`; so is each stale rule, as a test after the cells.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from worldswitch.harness.expectations.judgement import EXCUSABLE
from worldswitch.harness.expectations.outcome import Judged
from worldswitch.harness.report.legible import legible
from worldswitch.harness.results.reader import KeptCell, KeptRun
from worldswitch.harness.verdict import Verdict

VERSION = "KTAP version 1"
INDENT = "  "

DIRECTIVES = {Verdict.TIMEOUT: "TIMEOUT", Verdict.ERROR: "ERROR", Verdict.MISS: "ERROR"}


def text(run: KeptRun) -> str:
    """Return the run as KTAP."""
    tests = (*run.cells, *run.manifest.stale)
    rules = (f"not ok {number} {_plain(str(one))}" for number, one in enumerate(run.manifest.stale, len(run.cells) + 1))
    return "\n".join([VERSION, *_plan(tests), *_cells(run.cells), *rules]) + "\n"


def _plan(tests: Sequence[object]) -> Iterator[str]:
    """The number of tests that follow."""
    yield f"1..{len(tests)}"


def _cells(cells: Iterable[KeptCell]) -> Iterator[str]:
    for number, cell in enumerate(cells, 1):
        families = [(name, list(them)) for name, them in groupby(sorted(cell.judged, key=_family), _family)]
        if cell.problem:
            yield from _remarks(cell.problem.reason)
        yield from _nested([*_plan(families), *_families(families)])
        unsound = cell.problem is not None and cell.problem.unexpected
        yield _result(number, str(cell.name), cell.judged, unsound=unsound)


def _families(families: Iterable[tuple[str, list[Judged]]]) -> Iterator[str]:
    for number, (name, judged) in enumerate(families, 1):
        yield from _nested([*_plan(judged), *_scenarios(judged)])
        yield _result(number, name, judged)


def _scenarios(judged: Iterable[Judged]) -> Iterator[str]:
    for number, one in enumerate(judged, 1):
        if not one.judgement.expected:
            yield from _remarks("\n".join(filter(None, (one.trial.reason, str(one.judgement), one.trial.detail))))
        yield _line(number, one.trial.scenario.partition("::")[2], one)


def _nested(lines: Iterable[str]) -> Iterator[str]:
    yield from (INDENT + line for line in (VERSION, *lines))


def _remarks(text: str) -> Iterator[str]:
    """Diagnostic lines, which precede the result that they belong to."""
    yield from (f"# {line}" for line in legible(text).splitlines())


def _line(number: int, name: str, one: Judged) -> str:
    verdict, reason = one.trial.verdict, _plain(one.trial.reason or one.judgement.reason)
    if one.judgement.expected:
        directive = "" if verdict is Verdict.PASS else "SKIP" if verdict in EXCUSABLE else "XFAIL"
        return _format("ok", number, name, directive, "" if verdict is Verdict.PASS else reason)
    return _format("not ok", number, name, DIRECTIVES.get(verdict, ""), f"{verdict.value} {reason}".strip())


def _result(number: int, name: str, judged: Sequence[Judged], *, unsound: bool = False) -> str:
    """The line of a test with subtests: not ok if one of them is not ok, skipped if all are skipped."""
    if unsound or not judged or not all(one.judgement.expected for one in judged):
        return _format("not ok", number, name)
    if all(one.trial.verdict in EXCUSABLE for one in judged):
        return _format("ok", number, name, "SKIP")
    return _format("ok", number, name)


def _format(result: str, number: int, name: str, directive: str = "", more: str = "") -> str:
    comment = " ".join(filter(None, (directive, more)))
    return f"{result} {number} {_plain(name)}" + (f" # {comment}" if comment else "")


def _plain(text: str) -> str:
    """`text` as one line without `#`, which would start a directive."""
    return " ".join(legible(text).replace("#", "_").split())


def _family(one: Judged) -> str:
    return one.trial.scenario.partition("::")[0]
