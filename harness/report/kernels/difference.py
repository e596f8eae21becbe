"""How two kernels differ according to a run: probes, facts, and verdicts.

Cells are compared under the same profile, or without a container: a profile changes probes and verdicts.
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

ABSENT = "-"  #: the value on a side that has none


@dataclass(frozen=True, slots=True)
class KernelChange:
    """A probe, fact or scenario with different values on the two kernels."""

    what: str
    one: str
    other: str


@dataclass(frozen=True, slots=True)
class KernelDifference:
    """All changes between two kernels."""

    kernels: tuple[str, str]  #: as `uname` names them
    run: Path
    seen_in: str  #: the profile under which probes and facts were observed; "" is no container
    probes: tuple[KernelChange, ...]
    facts: tuple[KernelChange, ...]
    verdicts: Mapping[str, tuple[KernelChange, ...]]  #: by profile; "" is no container


def between(run: KeptRun, one: str, other: str) -> KernelDifference | None:
    """Return how two kernels differ in a run; None if no profile has results of both."""
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
    """Print the changes as tables."""
    out.print(" and ".join(difference.kernels))
    out.print(f"according to {difference.run}")
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


def has_all_facts(cell: KeptCell) -> bool:
    """True if the cell sent a header, and all facts about its kernel were observed."""
    return bool(cell.header and not cell.header.fingerprint.facts_left_out)


def _words(profile: str) -> str:
    return profile or "no container"


def _cells(run: KeptRun, kernel: str) -> dict[str, KeptCell]:
    """The kernel's cells with all facts, by profile; the cell without a container comes first."""
    whole = environment_of(kernel)
    found = {}
    for cell in run.cells:
        machine, _, profile = cell.name.environment.partition(":")
        if machine == whole and cell.name.platform == REFERENCE and has_all_facts(cell):
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
