"""Compares each trial of two runs: same minor version of the kernel, same profile, same platform.

    newly failing     expected before, or new, and unexpected now
    newly missing     has a result before, is planned now, and has none
    flaky             expected in some of the later runs and unexpected in others
    fixed             unexpected before, expected now
    appeared          has no result before
    other verdict     another verdict, both expected
    other expectation the same verdict, with other expected verdicts
    still failing     unexpected before and now

A kernel with results before and none now has *vanished*: this is reported once, not for each of its trials.  Cells and
scenarios that the later run did not plan are *left out*, so that a run of a few cells can be compared with a full one.
"""

from __future__ import annotations

import enum
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from worldswitch.harness.cell.records import Fingerprint
from worldswitch.harness.cell_name import CellName
from worldswitch.harness.expectations.outcome import Judged, Status
from worldswitch.harness.linux.release import series
from worldswitch.harness.results import matrix_axes
from worldswitch.harness.results.reader import KeptCell, KeptRun
from worldswitch.harness.verdict import Verdict


class Kind(enum.Enum):
    """How a trial changed."""

    FAILING = "newly failing"
    MISSING = "newly missing"
    FLAKY = "flaky"
    FIXED = "fixed"
    APPEARED = "appeared"
    VERDICT = "other verdict"
    EXPECTATION = "other expectation"
    STILL = "still failing"


ITSELF = "the cell itself"  #: in place of a scenario, for a problem of the cell such as a kernel warning

#: A kernel, and profile and platform.
Place: TypeAlias = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Change:
    """One trial that changed."""

    kind: Kind
    cell: str
    scenario: str
    ids: tuple[str, ...]
    was: str  #: the verdict, or empty
    now: str
    reason: str = ""
    expected: str = ""  #: before and now, if that is the change


@dataclass(frozen=True, slots=True)
class Shift:
    """A difference in the fingerprints of cells."""

    what: str  #: ``probe rseq``, ``fact KD3``, ``kernel``
    was: str
    now: str
    cells: tuple[str, ...]


@dataclass
class Comparison:
    """The differences between two runs."""

    before: str
    after: tuple[str, ...]
    changes: list[Change] = field(default_factory=list)
    shifts: list[Shift] = field(default_factory=list)
    vanished: dict[str, str] = field(default_factory=dict)  #: kernels, with the reason
    new_kernels: list[str] = field(default_factory=list)
    left_out: dict[str, list[str]] = field(default_factory=dict)  #: kernels, cells, scenarios
    same: int = 0  #: the number of unchanged trials
    compared: int = 0  #: the number of trials that have a verdict in both runs
    places: tuple[tuple[str, ...], ...] = ((), ())  #: kernels and profiles with verdicts, before and after

    def of(self, kind: Kind) -> list[Change]:
        """The changes of a kind."""
        return [change for change in self.changes if change.kind is kind]

    @property
    def status(self) -> Status:
        """1 if a trial newly fails; else 2 if a result is missing now, or if there was nothing to compare."""
        if self.of(Kind.FAILING):
            return Status.UNEXPECTED
        unknown = self.of(Kind.MISSING) or not self.compared
        return Status.COULD_NOT_RUN if unknown else Status.AS_EXPECTED


def compare(before: KeptRun, *after: KeptRun, across: bool = False) -> Comparison:
    """Compare `before` with the first of `after`; the others are repetitions of that.

    The host's kernel is only compared with one of the same minor version, unless `across`.
    """
    then, now = _cells(before, across), _cells(after[0], across)
    repeats = [_cells(run, across) for run in after[1:]]
    kernels = _kernels(then)
    found = Comparison(
        before.manifest.run,
        tuple(run.manifest.run for run in after),
        shifts=list(_shifts(then, now)),
        vanished=_vanished(kernels, _kernels(now)),
        new_kernels=[kernel for kernel in _kernels(now) if kernel not in kernels],
        left_out=_left_out(then, now),
        places=(_places(then), _places(now)),
    )
    for place, cell in now.items():
        if place[0] not in found.vanished:
            _compare_cell(found, then.get(place), cell, [_judged(cells.get(place)) for cells in repeats])
    return found


def _vanished(then: Mapping[str, Sequence[KeptCell]], now: Mapping[str, Sequence[KeptCell]]) -> dict[str, str]:
    gone = {kernel: cells for kernel, cells in now.items() if not _reached(cells) and _reached(then.get(kernel, ()))}
    return {kernel: _why(cells) for kernel, cells in gone.items()}


def _left_out(then: Mapping[Place, KeptCell], now: Mapping[Place, KeptCell]) -> dict[str, list[str]]:
    kernels, planned = _kernels(now), _scenarios(now.values())
    return {
        "kernels": [kernel for kernel in _kernels(then) if kernel not in kernels],
        "cells": [str(cell.name) for place, cell in then.items() if place not in now and place[0] in kernels],
        "scenarios": [name for name in _scenarios(then.values()) if name not in planned],
    }


def _compare_cell(
    found: Comparison, before: KeptCell | None, cell: KeptCell, repeats: Sequence[Mapping[str, Judged]]
) -> None:
    if cell.problem and _is_unsound(cell) and not _is_unsound(before):
        found.changes.append(Change(Kind.FAILING, str(cell.name), ITSELF, (), "", "", cell.problem.reason))
    was = _judged(before)
    for name, now in _judged(cell).items():
        both = name in was and all(one.trial.verdict is not Verdict.MISS for one in (was[name], now))
        found.compared += both
        again = [judged[name] for judged in repeats if name in judged]
        if change := _change(str(cell.name), was.get(name), now, again):
            found.changes.append(change)
        else:
            found.same += both


def _cells(run: KeptRun, across: bool) -> dict[Place, KeptCell]:
    releases = [
        matrix_axes.release(cell.header.fingerprint.kernel) for cell in run.cells if cell.header and _is_host(cell)
    ]
    host = series(releases[0] if releases else matrix_axes.release(run.manifest.kernel))
    return {_place(cell.name, "" if across else host): cell for cell in run.cells}


def _is_host(cell: KeptCell) -> bool:
    return matrix_axes.place(cell.name)[0].kernel == matrix_axes.HOST


def _place(cell: CellName, host: str) -> Place:
    row, profile = matrix_axes.place(cell)
    if row.kernel == matrix_axes.HOST:
        return f"{matrix_axes.HOST} {host}".strip(), f"{cell.environment}/{row.platform}"
    return f"linux-{series(row.kernel.removeprefix('linux-'))}", f"{profile}/{row.platform}"


def _kernels(cells: Mapping[Place, KeptCell]) -> dict[str, list[KeptCell]]:
    found: dict[str, list[KeptCell]] = {}
    for (kernel, _), cell in cells.items():
        found.setdefault(kernel, []).append(cell)
    return found


def _reached(cells: Iterable[KeptCell]) -> bool:
    return any(one.trial.verdict.is_verdict for cell in cells for one in cell.judged)


def _why(cells: Iterable[KeptCell]) -> str:
    return next((cell.problem.reason for cell in cells if cell.problem), "no trial on it has a result")


def _places(cells: Mapping[Place, KeptCell]) -> tuple[str, ...]:
    return tuple(" ".join(place) for place, cell in cells.items() if _reached([cell]))


def _is_unsound(cell: KeptCell | None) -> bool:
    return bool(cell and cell.problem and cell.problem.unexpected)


def _judged(cell: KeptCell | None) -> dict[str, Judged]:
    return {one.trial.scenario: one for one in cell.judged} if cell else {}


def _scenarios(cells: Iterable[KeptCell]) -> Collection[str]:
    return dict.fromkeys(one.trial.scenario for cell in cells for one in cell.judged)


def _change(cell: str, was: Judged | None, now: Judged, again: Sequence[Judged]) -> Change | None:
    kind = _kind(was, now, again)
    if kind is None:
        return None
    trial = now.trial
    verdicts = " or ".join(dict.fromkeys(one.trial.verdict.value for one in (now, *again)))
    expected = f"{was.judgement}; {now.judgement}" if was and kind is Kind.EXPECTATION else ""
    reason = trial.reason or (now.judgement.reason if now.judgement.expected else str(now.judgement))
    return Change(
        kind, cell, trial.scenario, trial.ids, was.trial.verdict.value if was else "", verdicts, reason, expected
    )


def _kind(was: Judged | None, now: Judged, again: Sequence[Judged]) -> Kind | None:
    if len({one.judgement.expected for one in (now, *again) if one.trial.verdict is not Verdict.MISS}) > 1:
        return Kind.FLAKY
    tried_before = was is not None and was.trial.verdict is not Verdict.MISS
    if now.trial.verdict is Verdict.MISS:
        return Kind.MISSING if tried_before else None
    if was is None or not tried_before:
        return Kind.APPEARED if now.judgement.expected else Kind.FAILING
    if was.judgement.expected != now.judgement.expected:
        return Kind.FIXED if now.judgement.expected else Kind.FAILING
    if not now.judgement.expected:
        return Kind.STILL
    if was.trial.verdict is not now.trial.verdict:
        return Kind.VERDICT
    return None if was.judgement.wanted == now.judgement.wanted else Kind.EXPECTATION


def _shifts(before: Mapping[Place, KeptCell], after: Mapping[Place, KeptCell]) -> Iterator[Shift]:
    """Yield each difference of fingerprints once, with all the cells that have it."""
    found: dict[tuple[str, str, str], list[str]] = {}
    for place, cell in after.items():
        was = before.get(place)
        if was and was.header and cell.header:
            for shift in _shifted(_features(was.header.fingerprint), _features(cell.header.fingerprint)):
                found.setdefault(shift, []).append(str(cell.name))
    for (what, then, now), cells in found.items():
        yield Shift(what, then, now, tuple(cells))


def _features(seen: Fingerprint) -> dict[str, str]:
    return {
        "kernel": matrix_axes.release(seen.kernel),
        "machine": seen.machine,
        "processor": seen.cpu,
        "Python": seen.python,
        **seen.versions,
        **{f"probe {name}": one.state for name, one in seen.probes.items()},
        **{f"fact {name}": observed for name, observed in seen.facts.items()},
    }


def _shifted(then: Mapping[str, str], now: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    for what in dict.fromkeys((*then, *now)):
        before, after = then.get(what, ""), now.get(what, "")
        if before and after and before != after:
            yield what, before, after
