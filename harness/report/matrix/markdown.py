"""Renders a run's matrix as Markdown, for a pull request or a job's summary."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from worldswitch.harness.expectations.outcome import tally
from worldswitch.harness.report.markdown_table import plain, table
from worldswitch.harness.report.matrix import summary
from worldswitch.harness.report.outcome import causes
from worldswitch.harness.report.outcome.answer import answer
from worldswitch.harness.results import matrix_axes
from worldswitch.harness.results.reader import KeptCell, KeptRun
from worldswitch.harness.verdict import Verdict

FILE = "matrix.md"

MOST = 100  #: the maximum number of rows per table; the page has all of them


def text(run: KeptRun) -> str:
    """Return the matrix, the unexpected verdicts, and the differences between kernels."""
    return "\n".join(_lines(run)) + "\n"


def _lines(run: KeptRun) -> Iterator[str]:
    yield f"# {plain(answer(run.outcomes))}"
    yield f"\n{plain(summary.title(run))}"
    yield f"\n{plain(f'{run.manifest.run}: {summary.headline(run)}. {summary.conclusion(run)}')}"
    yield f"\n**{tally(run.outcomes)}**\n"
    columns = matrix_axes.columns(cell.name for cell in run.cells)
    rows = (
        [f"{plain(str(row))}<br>{plain(release)}", *map(_cell, cells)] for row, release, cells in summary.table(run)
    )
    yield from table(["kernel", *(plain(column or matrix_axes.NOWHERE) for column in columns)], rows)
    yield "\nA plain number counts passed trials; a bold number counts trials with an unexpected verdict."
    yield from _problems(run)
    yield from _stale(run)
    yield from _causes(run)
    yield from _unexpected(run)
    yield from _differences(run)


def _cell(cell: KeptCell | None) -> str:
    if cell is None:
        return ""
    wrong = Counter(one.trial.verdict for one in cell.outcome.unexpected)
    fine = cell.outcome.verdicts - wrong
    bold = [f"**{wrong[verdict]} {verdict.value}**" for verdict in Verdict if wrong[verdict]]
    passed = [str(fine[Verdict.PASS])] if fine[Verdict.PASS] or not bold else []
    rest = [f"{fine[verdict]} {verdict.value}" for verdict in Verdict if fine[verdict] and verdict is not Verdict.PASS]
    return "<br>".join((*passed, *bold, *rest))


def _problems(run: KeptRun) -> Iterator[str]:
    for number, ((reason, remedy), names) in enumerate(summary.problems(run).items()):
        if not number:
            yield "\n## Cells with problems\n"
        yield f"- {plain(reason)}{f' *What to do: {plain(remedy)}*' if remedy else ''} In {_named(names)}."


def _stale(run: KeptRun) -> Iterator[str]:
    if run.manifest.stale:
        yield "\n## Stale rules\n"
        yield from (f"- {plain(str(one))}" for one in run.manifest.stale)


def _causes(run: KeptRun) -> Iterator[str]:
    found = causes.groups(run.outcomes)
    if found:
        yield "\n## Causes\n"
        rows = ([one.verdict.value, str(len(one.trials)), plain(one.reason), _named(one.cells)] for one in found[:MOST])
        yield from table(("verdict", "trials", "reason", "where"), rows)
        yield from _more(len(found))


def _unexpected(run: KeptRun) -> Iterator[str]:
    found = summary.unexpected(run)
    if found:
        yield "\n## Not as expected\n"
        rows = (
            [*map(plain, (one.verdict, one.ids, one.sentence)), _named(one.cells), plain(one.reason)]
            for one in found[:MOST]
        )
        yield from table(("verdict", "id", "scenario", "where", "reason"), rows)
        yield from _more(len(found))


def _differences(run: KeptRun) -> Iterator[str]:
    found = summary.differences(run)
    if found:
        yield "\n## Where kernels differ\n"
        rows = ([*map(plain, (one.ids, one.scenario, str(one))), _named(one.profiles)] for one in found[:MOST])
        yield from table(("id", "scenario", "verdicts", "profiles"), rows)
        yield from _more(len(found))


def _named(names: Sequence[str]) -> str:
    return plain(summary.named(names))


def _more(number: int) -> Iterator[str]:
    if number > MOST:
        yield f"\nAnd {number - MOST} more."
