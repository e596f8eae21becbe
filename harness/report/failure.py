"""Prints unexpected verdicts: one by one with its evidence, and many by their causes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text

from worldswitch.harness.cell.diagnosis import text
from worldswitch.harness.cell_name import CellName
from worldswitch.harness.expectations.outcome import Judged
from worldswitch.harness.legible import shortened
from worldswitch.harness.report.console import STYLES
from worldswitch.harness.report.outcome.causes import FailureGroup, first_line
from worldswitch.harness.run import repro
from worldswitch.harness.run.request import Request

LINES = 20  #: the last lines of a long text; the results have all of it
REASON = 200  #: characters of a reason in a line

DETAILED = 5  #: the maximum number of causes with the evidence of a trial
CAUSES = 20  #: the maximum number of causes; the page has all of them
SCENARIOS = 20  #: the maximum number of scenarios listed for a cause
FEW = 6  #: the maximum number of cells named for a cause

Evidence = Callable[[CellName, Judged], Text]


def evidence(request: Request, folder: Path) -> Evidence:
    """Return the function that describes an unexpected verdict of a run of `request` in `folder`."""
    return lambda cell, judged: failure(cell, judged, request, folder)


def line(cell: CellName, judged: Judged) -> Text:
    """Return one trial as one line: verdict, ids, name, cell, reason."""
    trial = judged.trial
    shown = Text(f"{_head(cell, judged)}", STYLES[trial.verdict])
    reason = first_line(trial) if trial.reason else ""
    return shown.append(f": {shortened(reason, REASON)}" if reason else "", "default")


def failure(cell: CellName, judged: Judged, request: Request, folder: Path | None = None) -> Text:
    """The block of text on one unexpected verdict: the claim, the evidence, and the commands that repeat the trial."""
    trial = judged.trial
    block = Text(f"\n{_head(cell, judged)}", style=STYLES[trial.verdict])
    parts = (
        ("claim", [trial.claim]),
        ("verdict", [f"{trial.verdict.value}, {judged.judgement} ({trial.seconds:.1f} s)"]),
        ("reason", _end(trial.reason.splitlines())),
        ("assertion", _end(trial.detail.splitlines())),
        ("transcript", _end(trial.transcript)),
        ("events", text.events(trial.diagnosis)),
        ("processes", _end(text.processes(trial.diagnosis))),
        ("output", _end(text.output(trial.output).splitlines())),
        ("again", [repro.command(cell, trial.scenario, folder)] if folder else []),
        ("same as", [request.again(cell, trial.scenario)]),
    )
    for name, lines in parts:
        if lines:
            block.append(f"\n  {name:<11}" + f"\n  {'':<11}".join(lines), style="default")
    return block


def by_cause(found: Sequence[FailureGroup], out: Console, evidence: Evidence | None = None) -> None:
    """Print the causes, each with its scenarios, and the first with the `evidence` of a trial."""
    if not found:
        return
    trials, causes = sum(len(group.trials) for group in found), len(found)
    out.print(Text(f"\nnot as expected: {_count(trials, 'trial')}, {_count(causes, 'cause')}", "bold"))
    for number, group in enumerate(found[:CAUSES]):
        one = group.trials[0]
        if evidence and number < DETAILED:
            if len(group.trials) > 1:
                _group(group, out)
                out.print("  one of them:")
            out.print(evidence(*one))
        else:
            _group(group, out)
    if causes > CAUSES:
        out.print(f"\nand {_count(causes - CAUSES, 'more cause')}")


def _group(group: FailureGroup, out: Console) -> None:
    out.print(Text(f"\n{shortened(str(group), REASON)}", STYLES[group.verdict]))
    out.print(f"  in {_first(group.cells, FEW, ', ')}")
    for ids, name in group.scenarios[:SCENARIOS]:
        out.print(f"  {ids} {name}")
    if len(group.scenarios) > SCENARIOS:
        out.print(f"  and {len(group.scenarios) - SCENARIOS} more scenarios")


def _head(cell: CellName, judged: Judged) -> str:
    trial = judged.trial
    return f"{trial.verdict.value.upper()} {' '.join(trial.ids)} {trial.scenario} in {cell}"


def _first(names: Sequence[str], most: int, between: str) -> str:
    return between.join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"


def _end(lines: Sequence[str]) -> Sequence[str]:
    left_out = len(lines) - LINES
    return lines if left_out <= 0 else [f"... {left_out} earlier lines", *lines[-LINES:]]
