"""Prints the edits that make the rules expect the verdicts of a run as a diff, and writes them."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterator
from pathlib import Path

from worldswitch.harness.errors import CouldNotRun
from worldswitch.harness.expectations.outcome import Status
from worldswitch.harness.report.rules import rulebook
from worldswitch.harness.report.rules.proposals import propose
from worldswitch.harness.report.rules.rulebook import Rulebook
from worldswitch.harness.results import reader, writer
from worldswitch.harness.results.errors import CannotWrite


def show(name: str, *, write: bool, tighten: bool) -> Status:
    """Print the edits; returns UNEXPECTED if some are not written or must be made by hand."""
    run = reader.read(reader.find(name))
    if not run.ran:
        raise CouldNotRun(f"{run.folder}: nothing ran in this run, so it says nothing about the rules")
    before = rulebook.of(run)
    proposal = propose(run, before, tighten=tighten)
    changed = [path for path, text in proposal.book.texts.items() if text != before.texts.get(path, "")]
    for path in changed:
        sys.stdout.writelines(_diff(path, before, proposal.book))
    for line in proposal.left:
        print(line, file=sys.stderr)
    if not changed and not proposal.left:
        print(f"the rules expect every verdict in {run.folder}")
    if write:
        _write(proposal.book, changed)
    return Status.UNEXPECTED if proposal.left or (changed and not write) else Status.AS_EXPECTED


def _diff(path: Path, before: Rulebook, after: Rulebook) -> Iterator[str]:
    old, new = before.texts.get(path, ""), after.texts[path]
    name = _shown(path)
    return difflib.unified_diff(
        old.splitlines(keepends=True), new.splitlines(keepends=True), name if old else "/dev/null", name
    )


def _shown(path: Path) -> str:
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def _write(book: Rulebook, changed: list[Path]) -> None:
    for path in changed:
        try:
            writer.replace(path, book.texts[path].encode())
        except CannotWrite as problem:
            raise CouldNotRun(f"{problem}; the diff above can be applied by patch(1) to a copy") from problem
        print(f"written: {_shown(path)}", file=sys.stderr)
