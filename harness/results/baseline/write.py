"""Writes a run as the baseline."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from worldswitch.harness.cell.records import Header
from worldswitch.harness.errors import CouldNotRun
from worldswitch.harness.results.baseline.file_format import (
    FILE,
    OF_FINGERPRINT,
    OF_MANIFEST,
    PLAIN,
    BaselineCell,
    Facts,
    Head,
    Line,
    Thought,
    ranges,
    thought,
)
from worldswitch.harness.results.reader import KeptCell, KeptRun
from worldswitch.harness.results.verdict_letters import letter_of


def write(run: KeptRun, folder: Path) -> Path:
    """Write `run` as the baseline in `folder`; return the path.  Raises `CouldNotRun`, also if it is incomplete."""
    if run.manifest.finished is None or run.manifest.interrupted:
        raise CouldNotRun(f"{run.folder} is incomplete; a baseline needs a run that finished")
    path = folder / FILE
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"".join(msgspec.json.encode(line) + b"\n" for line in lines(run)))
    except OSError as problem:
        raise CouldNotRun(f"{path} cannot be written: {problem.strerror}") from problem
    return path


def lines(run: KeptRun) -> Iterator[Line]:
    """Yield the lines of a run's baseline."""
    ids = {one.trial.scenario: " ".join(one.trial.ids) for cell in run.cells for one in cell.judged}
    judgements = (one.judgement for cell in run.cells for one in cell.judged)
    thoughts = {one: number for number, one in enumerate(dict.fromkeys((PLAIN, *map(thought, judgements))))}
    facts: list[dict[str, str]] = []
    for cell in run.cells:
        if cell.header and cell.header.fingerprint.facts not in facts:
            facts.append(cell.header.fingerprint.facts)
    known = {field: getattr(run.manifest, field) for field in OF_MANIFEST}
    yield Head(**known, scenarios=tuple(sorted(ids.items())), thoughts=tuple(thoughts))
    for number, observed in enumerate(facts):
        yield Facts(number=number, facts=observed)
    for cell in run.cells:
        yield _cell(cell, sorted(ids), thoughts, facts)


def _cell(
    cell: KeptCell, names: Sequence[str], thoughts: Mapping[Thought, int], facts: Sequence[dict[str, str]]
) -> BaselineCell:
    judged = {one.trial.scenario: one for one in cell.judged}
    others: dict[str, list[int]] = defaultdict(list)
    for place, name in enumerate(names):
        if name in judged and (number := thoughts[thought(judged[name].judgement)]):
            others[str(number)].append(place)
    return BaselineCell(
        environment=cell.plan.environment,
        platform=cell.plan.platform,
        verdicts="".join(letter_of(judged.get(name)) for name in names),
        thoughts={number: ranges(places) for number, places in others.items()},
        problem=cell.problem.reason if cell.problem else "",
        unsound=cell.problem.unexpected if cell.problem else False,
        **(_of_header(cell.header, facts) if cell.header else {}),
    )


def _of_header(header: Header, facts: Sequence[dict[str, str]]) -> dict[str, Any]:
    seen = header.fingerprint
    states: dict[str, list[str]] = defaultdict(list)
    for name, found in seen.probes.items():
        states[found.state].append(name)
    return {
        **{field: getattr(seen, field) for field in OF_FINGERPRINT},
        "repeat": header.repeat,
        "facts": facts.index(seen.facts),
        "probes": {state: " ".join(names) for state, names in states.items()},
    }
