"""Answers "can a ptrace sandbox run here, and does it behave?" for a run, in one sentence a platform.

The sentence says only what trials showed: a place in which no trial of the platform reached a verdict is undecided.
Facts about the kernel do not count, since no platform takes part in them.
"""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from worldswitch.harness.catalogue.scenarios import is_about_the_kernel
from worldswitch.harness.cell.probes.needs import IMPLIED
from worldswitch.harness.cell_name import KERNEL, CellName
from worldswitch.harness.expectations.outcome import CellOutcome, Judged
from worldswitch.harness.legible import legible
from worldswitch.harness.results import matrix_axes
from worldswitch.harness.verdict import Verdict

FEW = 6  #: the maximum number of names in an enumeration
LONG = 160  #: characters of a reason

FAILURES = frozenset({Verdict.FAIL, Verdict.TIMEOUT, Verdict.CRASH})


class Finding(enum.Enum):
    """What the trials of a cell showed about its platform, in the order of the sentence."""

    RUNS = "runs {where}"
    FLAWED = "runs with known failures {where}"
    MISBEHAVES = "misbehaves {where}"
    DENIED = "not {where}"
    UNDECIDED = "undecided {where}"


@dataclass(frozen=True, slots=True)
class CellFinding:
    """The finding of one cell, and why."""

    cell: CellName
    finding: Finding
    why: str = ""
    trials: int = 0


def answer(outcomes: Sequence[CellOutcome]) -> str:
    """Return the answer: a sentence for each platform, in the order of the run."""
    if not outcomes:
        return "Nothing ran: no environment was planned."
    found = [finding(outcome) for outcome in outcomes]
    platforms = dict.fromkeys(one.cell.platform for one in found)
    return legible(" ".join(_sentence(name, [one for one in found if one.cell.platform == name]) for name in platforms))


def finding(outcome: CellOutcome) -> CellFinding:
    """Return what the trials of a cell showed about its platform."""
    own = [one for one in outcome.judged if not is_about_the_kernel(one.trial.scenario)]
    kind, why = _finding(own, outcome)
    return CellFinding(outcome.cell, kind, why, len(own))


def is_denied(outcome: CellOutcome) -> bool:
    """True if a probe shows that no platform can run in the cell."""
    return bool(_denied(outcome.judged))


def _finding(own: Sequence[Judged], outcome: CellOutcome) -> tuple[Finding, str]:
    failed = [one for one in own if one.trial.verdict in FAILURES]
    if wrong := [one for one in failed if not one.judgement.expected]:
        return Finding.MISBEHAVES, f"{len(wrong)} of {_trials(len(own))} failed"
    if denied := _denied(own):
        return Finding.DENIED, _why(denied)
    nothing = [one for one in own if not one.trial.verdict.is_verdict]
    if not any(one.trial.verdict is Verdict.PASS for one in own) or nothing:
        return Finding.UNDECIDED, _undecided(own, nothing, outcome)
    return Finding.FLAWED if failed else Finding.RUNS, ""


def _denied(trials: Sequence[Judged]) -> list[Judged]:
    """The trials that lack what every scenario needs; in a baseline, which has no reasons, the blocked if most are."""
    missing = [one for one in trials if one.trial.verdict in (Verdict.BLOCKED, Verdict.UNSUPPORTED)]
    unexplained = [one for one in missing if one.trial.verdict is Verdict.BLOCKED and not one.trial.reason]
    if 2 * len(unexplained) > len(trials):
        return unexplained
    return [one for one in missing if one.trial.reason.partition(":")[0].removeprefix("needs ") in IMPLIED]


def _undecided(own: Sequence[Judged], nothing: Sequence[Judged], outcome: CellOutcome) -> str:
    if outcome.problem:
        return outcome.problem.reason
    if nothing:
        return f"{len(nothing)} of {_trials(len(own))} reached no verdict: {_why(nothing)}"
    return _why(own) if own else "no scenario about a platform was selected"


def _why(trials: Iterable[Judged]) -> str:
    """The commonest reason: that of the rule if the verdict was expected, else the trial's own."""
    reasons = Counter(one.judgement.reason if one.judgement.expected else one.trial.reason for one in trials)
    lines = reasons.most_common(1)[0][0].splitlines()
    return lines[0] if lines else "without a reason"


def _trials(number: int) -> str:
    return f"{number} trial{'' if number == 1 else 's'}"


def _sentence(platform: str, found: Sequence[CellFinding]) -> str:
    groups: dict[tuple[Finding, str], list[CellFinding]] = {}
    for one in sorted(found, key=lambda one: list(Finding).index(one.finding)):
        groups.setdefault((one.finding, one.why), []).append(one)
    planned = _kernels(one.cell for one in found)
    parts = [
        _part(kind, why, _where([one.cell for one in group], planned, brief=number > 0), group)
        for number, ((kind, why), group) in enumerate(groups.items())
    ]
    if next(iter(groups))[0] is Finding.DENIED:
        parts[0] = f"cannot run{parts[0].removeprefix('not')}"
    return f"{platform} {'; '.join(parts)}."


def _part(kind: Finding, why: str, where: str, group: Sequence[CellFinding]) -> str:
    """One finding with its reason; without one, with the number of trials that showed it."""
    reason = why if len(why) <= LONG else f"{why[:LONG]}…"
    most = max(one.trials for one in group)
    return kind.value.format(where=where) + (f": {reason.rstrip('.')}" if reason else f" ({_trials(most)})")


def _kernels(cells: Iterable[CellName]) -> dict[str, list[str]]:
    """The kernels of each profile, in the order of the run; the second engine is a part of a profile's name."""
    found: dict[str, list[str]] = {}
    for cell in cells:
        row, profile = matrix_axes.place(cell)
        found.setdefault(f"{profile} ({row.engine})" if row.engine else profile, []).append(row.kernel)
    return found


def _where(cells: Sequence[CellName], planned: Mapping[str, Sequence[str]], *, brief: bool) -> str:
    """The places of these cells; if `brief`, without the kernels where these are all that were planned."""
    places: dict[tuple[str, ...], list[str]] = {}
    for profile, kernels in _kernels(cells).items():
        places.setdefault(tuple(kernels), []).append(profile)
    return " and ".join(
        _place(kernels, profiles, brief=brief and all(list(kernels) == planned[profile] for profile in profiles))
        for kernels, profiles in places.items()
    )


def _place(kernels: Sequence[str], profiles: Sequence[str], *, brief: bool) -> str:
    contained = [profile for profile in profiles if profile != matrix_axes.NO_PROFILE]
    bare = len(contained) < len(profiles)
    under = [f"under {_named(contained)}"] if contained else []
    if not any(kernel.startswith(KERNEL) for kernel in kernels):
        return " and ".join((["on the host"] if bare else []) + under)
    if brief and not bare:
        return under[0]
    names = [kernel.replace(KERNEL, "Linux ") if kernel.startswith(KERNEL) else "the host" for kernel in kernels]
    inside = " and ".join((["without a container"] if bare and contained else []) + under)
    return f"on {_named(names)} {inside}".rstrip()


def _named(names: Sequence[str]) -> str:
    more = len(names) - FEW
    return ", ".join(names[:FEW]) + (f" and {more} more" if more > 0 else "")
