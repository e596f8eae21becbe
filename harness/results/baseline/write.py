"""Writes a run as the baseline."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import msgspec

from worldswitch.harness.cell.records import Fingerprint
from worldswitch.harness.errors import CouldNotRun
from worldswitch.harness.results.baseline.file_format import (
    FILE,
    PLAIN,
    BaselineCell,
    BaselineJudgement,
    Facts,
    Head,
    Line,
    baseline_judgement,
    ranges,
)
from worldswitch.harness.results.reader import KeptCell, KeptRun
from worldswitch.harness.results.verdict_letters import letter_of

Observed: TypeAlias = tuple[tuple[str, str], ...]  #: facts with their observations


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
    names = sorted(ids)
    thoughts: dict[BaselineJudgement, int] = {PLAIN: 0}
    facts: dict[Observed, int] = {}
    for cell in run.cells:
        for one in cell.judged:
            thoughts.setdefault(baseline_judgement(one.judgement), len(thoughts))
        if cell.header:
            facts.setdefault(_observed(cell.header.fingerprint), len(facts))
    yield _head(run, [(name, ids[name]) for name in names], thoughts)
    for observed, number in facts.items():
        yield Facts(number=number, facts=dict(observed))
    for cell in run.cells:
        yield _cell(cell, names, thoughts, facts)


def _head(run: KeptRun, scenarios: Sequence[tuple[str, str]], thoughts: Mapping[BaselineJudgement, int]) -> Head:
    kept = run.manifest
    return Head(
        run=kept.run,
        started=kept.started,
        finished=kept.finished or kept.started,
        seed=kept.seed,
        kernel=kept.kernel,
        versions=kept.versions,
        expectations=kept.expectations,
        scenarios=tuple(scenarios),
        thoughts=tuple(thoughts),
    )


def _cell(
    cell: KeptCell, names: Sequence[str], thoughts: Mapping[BaselineJudgement, int], facts: Mapping[Observed, int]
) -> BaselineCell:
    judged = {one.trial.scenario: one for one in cell.judged}
    others: dict[str, list[int]] = {}
    for place, name in enumerate(names):
        number = thoughts[baseline_judgement(judged[name].judgement)] if name in judged else 0
        if number:
            others.setdefault(str(number), []).append(place)
    made = BaselineCell(
        environment=cell.plan.environment,
        platform=cell.plan.platform,
        verdicts="".join(letter_of(judged.get(name)) for name in names),
        thoughts={number: ranges(places) for number, places in others.items()},
        problem=cell.problem.reason if cell.problem else "",
        unsound=cell.problem.unexpected if cell.problem else False,
    )
    if cell.header is None:
        return made
    seen = cell.header.fingerprint
    fields = ("kernel", "machine", "cpu", "cpus", "python", "behaviour")
    return msgspec.structs.replace(
        made,
        **{field: getattr(seen, field) for field in fields},
        repeat=cell.header.repeat,
        facts=facts[_observed(seen)],
        probes=_by_state(seen),
    )


def _observed(seen: Fingerprint) -> Observed:
    return tuple(seen.facts.items())


def _by_state(seen: Fingerprint) -> dict[str, str]:
    states: dict[str, list[str]] = {}
    for name, found in seen.probes.items():
        states.setdefault(found.state, []).append(name)
    return {state: " ".join(names) for state, names in states.items()}
