"""Compares platforms in a table: a row per trial whose verdicts differ."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby

from rich.table import Table
from rich.text import Text

from worldswitch.harness.expectations.outcome import CellOutcome, Judged
from worldswitch.harness.verdict import Verdict


def tables(outcomes: Sequence[CellOutcome], styles: Mapping[Verdict, str]) -> Iterator[Table]:
    """Yield a table for each environment in which more than one platform ran."""
    for environment, cells in groupby(outcomes, lambda outcome: outcome.cell.environment):
        together = list(cells)
        if len(together) > 1:
            yield _table(environment, together, styles)


def _table(environment: str, cells: Sequence[CellOutcome], styles: Mapping[Verdict, str]) -> Table:
    names = [cell.cell.platform for cell in cells]
    rows = list(_differing(cells))
    planned = len(cells[0].judged)
    title = f"{environment}: {' and '.join(names)} differ in {len(rows)} of {planned} trials"
    table = Table("ids", "scenario", *names, "why", title=title, title_justify="left", box=None)
    for row in rows:
        trial = row[0].trial
        verdicts = (Text(_word(one), styles[one.trial.verdict]) for one in row)
        table.add_row(" ".join(trial.ids), trial.scenario, *verdicts, _why(row))
    return table


def _differing(cells: Sequence[CellOutcome]) -> Iterator[tuple[Judged, ...]]:
    others = [{one.trial.scenario: one for one in cell.judged} for cell in cells[1:]]
    for one in sorted(cells[0].judged, key=lambda one: one.trial.ids):
        row = (one, *(other[one.trial.scenario] for other in others if one.trial.scenario in other))
        if len({judged.trial.verdict for judged in row}) > 1:
            yield row


def _word(judged: Judged) -> str:
    return judged.trial.verdict.value + ("" if judged.judgement.expected else " (unexpected)")


def _why(row: Iterable[Judged]) -> str:
    return "; ".join(dict.fromkeys(one.judgement.reason for one in row if one.judgement.reason))
