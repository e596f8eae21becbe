"""How two kernels differ, as a run saw them: what their probes found, how they behave, and which verdicts changed.

Both must have been met in the same surroundings, the whole machine or a container of one profile: a profile changes
what probes find, and what scenarios come to.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from worldswitch.harness.cell.records import Fingerprint
from worldswitch.harness.cell_name import REFERENCE
from worldswitch.harness.environments.kernels.image import environment_of
from worldswitch.harness.results.reader import KeptCell, KeptRun

ABSENT = "-"  #: in place of what one side does not say


@dataclass(frozen=True, slots=True)
class KernelChange:
    """Something that the two say differently."""

    what: str
    one: str
    other: str


@dataclass(frozen=True, slots=True)
class KernelDifference:
    """All that two kernels say differently."""

    kernels: tuple[str, str]  #: as `uname` names them
    run: Path  #: that met them
    seen_in: str  #: the profile under which probes and facts were looked at; "" is the whole machine
    probes: tuple[KernelChange, ...]
    facts: tuple[KernelChange, ...]
    verdicts: Mapping[str, tuple[KernelChange, ...]]  #: by profile; "" is the whole machine


def between(run: KeptRun, one: str, other: str) -> KernelDifference | None:
    """How the kernels called so differ in a run; None if it did not meet both in the same surroundings."""
    ours, theirs = _cells(run, one), _cells(run, other)
    both = [profile for profile in ours if profile in theirs]
    if not both:
        return None
    here, there = _print(ours[both[0]]), _print(theirs[both[0]])
    return KernelDifference(
        kernels=(here.kernel, there.kernel),
        run=run.folder,
        seen_in=both[0],
        probes=tuple(_changes(_probes(here), _probes(there))),
        facts=tuple(_changes(here.facts, there.facts)),
        verdicts={profile: tuple(_changes(_verdicts(ours[profile]), _verdicts(theirs[profile]))) for profile in both},
    )


def show(difference: KernelDifference, names: Sequence[str], out: Console) -> None:
    """Print it."""
    out.print(" and ".join(difference.kernels))
    out.print(f"as they were met in {difference.run}")
    parts = [
        (f"probes, {_words(difference.seen_in)}", difference.probes),
        (f"behaviour, {_words(difference.seen_in)}", difference.facts),
        *((f"verdicts, {_words(profile)}", changes) for profile, changes in difference.verdicts.items()),
    ]
    for title, changes in parts:
        if not changes:
            out.print(f"\n{title}: no difference")
            continue
        table = Table(title, *names, box=None)
        for change in changes:
            table.add_row(change.what, change.one, change.other)
        out.print()
        out.print(table)


def _words(profile: str) -> str:
    return profile or "no container"


def _cells(run: KeptRun, kernel: str) -> dict[str, KeptCell]:
    """The cells of a kernel that said what machine they are on, by profile; the whole machine's first."""
    whole = environment_of(kernel)
    found = {}
    for cell in run.cells:
        place, _, profile = cell.name.environment.partition(":")
        if place == whole and cell.name.platform == REFERENCE and cell.header:
            found[profile] = cell
    return dict(sorted(found.items()))


def _print(cell: KeptCell) -> Fingerprint:
    assert cell.header
    return cell.header.fingerprint


def _probes(machine: Fingerprint) -> dict[str, str]:
    return {name: f"{found.state}: {found.detail}" for name, found in machine.probes.items()}


def _verdicts(cell: KeptCell) -> dict[str, str]:
    return {one.trial.scenario: one.trial.verdict.value for one in cell.judged}


def _changes(one: Mapping[str, str], other: Mapping[str, str]) -> Iterator[KernelChange]:
    names: Iterable[str] = dict.fromkeys((*one, *other))
    for name in names:
        if one.get(name) != other.get(name):
            yield KernelChange(name, one.get(name, ABSENT), other.get(name, ABSENT))
