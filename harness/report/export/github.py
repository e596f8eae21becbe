"""Tells GitHub Actions what a run found: annotations in the log, and the summary of the job's step."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from worldswitch.harness.expectations.outcome import CellOutcome, Stale
from worldswitch.harness.legible import legible
from worldswitch.harness.report.matrix import markdown
from worldswitch.harness.report.outcome import causes
from worldswitch.harness.report.outcome.answer import answer
from worldswitch.harness.results import reader
from worldswitch.harness.results.errors import ResultError

MOST = 10  #: annotations of one kind that GitHub shows for a step
TITLE, MESSAGE = 120, 2000  #: characters
SUMMARY = 1 << 20  #: bytes of a step's summary that GitHub accepts
FEW = 10  #: the maximum number of scenarios named in an annotation

#: The characters that end a command or a property, as actions/toolkit escapes them.
_MESSAGE = {"%": "%25", "\r": "%0D", "\n": "%0A"}
_PROPERTY = _MESSAGE | {":": "%3A", ",": "%2C"}


def tell(outcomes: Sequence[CellOutcome], folder: Path, stale: Sequence[Stale]) -> None:
    """Write annotations and summary if this is a job of GitHub Actions."""
    if os.environ.get("GITHUB_ACTIONS") != "true":
        return
    for line in commands(outcomes, stale):
        print(line, flush=True)
    path = os.environ.get("GITHUB_STEP_SUMMARY")
    if path:
        try:
            _append(Path(path), markdown.text(reader.read(folder)))
        except (OSError, ResultError) as problem:
            print(f"the summary of the step cannot be written: {legible(str(problem))}", file=sys.stderr)


def commands(outcomes: Sequence[CellOutcome], stale: Iterable[Stale] = ()) -> list[str]:
    """Return the commands: an error for each cause, stale rule and problem; the last says how many are left out."""
    every = [_error(title, message) for title, message in _errors(outcomes, stale)]
    if len(every) <= MOST:
        return every
    left = len(every) - MOST + 1
    return [*every[: MOST - 1], _error("worldswitch: more", f"{left} more; see the log. {answer(outcomes)}")]


def _errors(outcomes: Sequence[CellOutcome], stale: Iterable[Stale]) -> Iterator[tuple[str, str]]:
    for group in causes.groups(outcomes):
        names = [f"{ids} {name}" for ids, name in group.scenarios]
        more = [f"and {len(names) - FEW} more"] if len(names) > FEW else []
        yield str(group), "\n".join([f"in {', '.join(group.cells)}", *names[:FEW], *more])
    for one in stale:
        yield f"stale rule {one.rule}", one.why
    for reason, cells in causes.problems(outcomes).items():
        yield f"could not run: {reason.reason}", f"{', '.join(cells)}: {reason.reason}\n{reason.remedy}".strip()


def _error(title: str, message: str) -> str:
    words = _escaped(legible(title)[:TITLE], _PROPERTY), _escaped(legible(message)[:MESSAGE], _MESSAGE)
    return "::error title={}::{}".format(*words)


def _escaped(text: str, escapes: Mapping[str, str]) -> str:
    return "".join(escapes.get(character, character) for character in text)


def _append(path: Path, text: str) -> None:
    """Append to the summary, whole lines only, as much as GitHub accepts."""
    room = SUMMARY - (path.stat().st_size if path.exists() else 0)
    kept = text.encode()
    if len(kept) > room:
        kept = kept[: max(kept.rfind(b"\n", 0, max(room, 0)) + 1, 0)]
    with path.open("ab") as file:
        file.write(kept)
