"""Reads a baseline back as a run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from worldswitch.harness import decoding
from worldswitch.harness.cell.records import Fingerprint, Header, ProbeResult, Trial
from worldswitch.harness.cell_name import CellName
from worldswitch.harness.expectations.judgement import Judgement
from worldswitch.harness.expectations.outcome import Judged, Problem
from worldswitch.harness.linux import regular_file
from worldswitch.harness.results.baseline.file_format import (
    FILE,
    FORMAT,
    OF_FINGERPRINT,
    OF_MANIFEST,
    BaselineCell,
    Facts,
    Head,
    Line,
    numbers,
)
from worldswitch.harness.results.cell_file import Reached, twice
from worldswitch.harness.results.errors import Damaged
from worldswitch.harness.results.manifest import MOST_BYTES, Manifest, PlannedCell, PlannedScenario
from worldswitch.harness.results.reader import KeptCell, KeptRun
from worldswitch.harness.results.verdict_letters import ABSENT, VERDICTS


def load(folder: Path) -> KeptRun:
    """Read the baseline in `folder`.  Raises `Damaged`, which names the line."""
    path = folder / FILE
    head: Head | None = None
    facts: dict[int, dict[str, str]] = {}
    cells: list[KeptCell] = []
    for number, text in enumerate(_content(path).splitlines(), 1):
        where = f"{path}:{number}"
        match _line(text, where):
            case Head() as line if head is None:
                head = _checked(line, where)
            case Facts(number=number) if number in facts:
                raise Damaged(f"{where}: number: {number} is there twice")
            case Facts() as line if head:
                facts[line.number] = line.facts
            case BaselineCell() as line if head:
                cells.append(_cell(line, head, facts, folder, where))
            case line:
                raise Damaged(f"{where}: a {type(line).__name__.lower()} line out of order")
    if head is None:
        raise Damaged(f"{path}: empty")
    if (name := twice(str(cell.name) for cell in cells)) is not None:
        raise Damaged(f"{path}: {name} is there twice")
    return KeptRun(folder, _manifest(head, cells), tuple(cells))


def _content(path: Path) -> bytes:
    try:
        return regular_file.read(path, MOST_BYTES)
    except OSError as problem:
        raise Damaged(f"{path}: cannot be read: {problem.strerror}") from problem


def _line(text: bytes, where: str) -> Line:
    try:
        found: Line = decoding.from_json(text, Line)
        return found
    except msgspec.DecodeError as problem:
        raise Damaged(f"{where}: not a line of a baseline: {problem}") from problem


def _checked(head: Head, where: str) -> Head:
    if head.format != FORMAT:
        raise Damaged(f"{where}: format {head.format}; this version reads format {FORMAT}")
    if not head.thoughts:
        raise Damaged(f"{where}: thoughts: must not be empty")
    if (name := twice(name for name, _ in head.scenarios)) is not None:
        raise Damaged(f"{where}: scenarios: {name!r} is there twice")
    if head.finished < head.started:
        raise Damaged(f"{where}: finished: {head.finished:.3f} is before `started`, {head.started:.3f}")
    return head


def _cell(line: BaselineCell, head: Head, facts: Mapping[int, dict[str, str]], folder: Path, where: str) -> KeptCell:
    name = CellName(line.environment, line.platform)
    if len(line.verdicts) != len(head.scenarios):
        raise Damaged(f"{where}: {len(line.verdicts)} verdicts for {len(head.scenarios)} scenarios")
    if line.facts is not None and line.facts not in facts:
        raise Damaged(f"{where}: facts {line.facts} are not declared above")
    judged = tuple(_judged(line, head, where))
    problem = Problem(line.problem, unexpected=line.unsound) if line.problem else None
    plan = PlannedCell(
        environment=line.environment,
        platform=line.platform,
        file=name.file,
        started=head.started,
        finished=head.started,
    )
    planned = tuple(one.trial.scenario for one in judged)
    header = _header(line, head, facts, planned) if line.kernel else None
    return KeptCell(plan, folder / FILE, Reached(header=header), planned, judged, problem)


def _judged(line: BaselineCell, head: Head, where: str) -> Iterator[Judged]:
    thoughts = _thoughts(line, head, where)
    for place, ((name, ids), letter) in enumerate(zip(head.scenarios, line.verdicts, strict=True)):
        if letter == ABSENT:
            continue
        verdict = VERDICTS.get(letter.lower())
        if verdict is None:
            raise Damaged(f"{where}: verdicts: {letter!r} is not the letter of a verdict")
        wanted, reason, rule = head.thoughts[thoughts.get(place, 0)]
        judgement = Judgement(letter.islower(), frozenset(wanted), reason, rule)
        yield Judged(Trial(scenario=name, verdict=verdict, ids=tuple(ids.split())), judgement)


def _thoughts(line: BaselineCell, head: Head, where: str) -> dict[int, int]:
    """Return the number of the judgement by the index of the scenario, without the default."""
    count = len(head.scenarios)
    try:
        found = {place: int(number) for number, places in line.thoughts.items() for place in numbers(places, count)}
    except ValueError as problem:
        raise Damaged(f"{where}: thoughts: {problem}") from problem
    if wrong := [number for number in found.values() if not 0 <= number < len(head.thoughts)]:
        raise Damaged(f"{where}: thoughts: index {wrong[0]} is out of range: the head declares {len(head.thoughts)}")
    return found


def _header(line: BaselineCell, head: Head, facts: Mapping[int, dict[str, str]], planned: tuple[str, ...]) -> Header:
    seen = Fingerprint(
        **{field: getattr(line, field) for field in OF_FINGERPRINT},
        versions=head.versions,
        probes={name: ProbeResult(state, "") for state, names in line.probes.items() for name in names.split()},
        facts={} if line.facts is None else facts[line.facts],
    )
    return Header(
        run=head.run,
        started=head.started,
        environment={"name": line.environment},
        platform=line.platform,
        repeat=line.repeat,
        seed=head.seed,
        planned=planned,
        fingerprint=seen,
    )


def _manifest(head: Head, cells: list[KeptCell]) -> Manifest:
    return Manifest(
        **{field: getattr(head, field) for field in OF_MANIFEST},
        request={},
        scenarios=tuple(PlannedScenario(name=name, ids=tuple(ids.split())) for name, ids in head.scenarios),
        cells=tuple(cell.plan for cell in cells),
    )
