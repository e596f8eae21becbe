"""Summarises a run: the texts and groups that the page, Markdown and the terminal share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from worldswitch.harness.catalogue.scenarios import function_of
from worldswitch.harness.cell_name import CellName
from worldswitch.harness.expectations.outcome import Judged, Status, status
from worldswitch.harness.linux.release import minor
from worldswitch.harness.report.outcome import causes
from worldswitch.harness.report.outcome.causes import FailureGroup
from worldswitch.harness.results import matrix_axes
from worldswitch.harness.results.reader import KeptCell, KeptRun
from worldswitch.harness.verdict import Verdict

FEW = 8  #: the maximum number of cells named in a list

CONCLUSIONS = {
    Status.AS_EXPECTED: "Every cell ran, and every verdict was as expected.",
    Status.UNEXPECTED: "Some results were not as expected.",
    Status.COULD_NOT_RUN: "No result was unexpected, but some planned trials could not run.",
}


NOTHING_RAN = "Nothing ran: no trial has a verdict."


@dataclass
class UnexpectedGroup:
    """The cells in which one scenario had the same unexpected verdict."""

    scenario: str
    ids: str
    verdict: str
    reason: str  #: in the first cell
    expected: str
    cells: list[str] = field(default_factory=list)

    @property
    def sentence(self) -> str:
        """The scenario's name as a sentence."""
        return self.scenario.partition("::")[2].replace("_", " ")


@dataclass
class KernelVerdicts:
    """A scenario whose verdict depends on the kernel, with the profiles that share these verdicts."""

    scenario: str
    ids: str
    kernels: dict[str, list[str]]  #: by verdict
    profiles: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return "; ".join(f"{verdict}: {named(rows)}" for verdict, rows in self.kernels.items())


def conclusion(run: KeptRun) -> str:
    """Return the run's outcome as a sentence."""
    return CONCLUSIONS[exit_status(run)] if run.ran else NOTHING_RAN


def exit_status(run: KeptRun) -> Status:
    """Return the run's exit status."""
    found = status(run.outcomes, run.manifest.stale)
    cut_off = run.manifest.interrupted or run.manifest.finished is None
    return Status.COULD_NOT_RUN if cut_off and found is Status.AS_EXPECTED else found


def title(run: KeptRun) -> str:
    """Return what was tested and where: platforms, machine, kernel, date, version of worldswitch."""
    prints = [cell.header.fingerprint for cell in run.cells if cell.header]
    platforms = list(dict.fromkeys(cell.name.platform for cell in run.cells))
    version = run.manifest.versions.get("worldswitch", "")
    parts = (
        named(platforms),
        named(list(dict.fromkeys(f"{one.machine}, {one.cpu}" for one in prints))),
        _kernels(list(dict.fromkeys(" ".join(one.kernel.split()[:2]) for one in prints)) or [run.manifest.kernel]),
        started(run)[:10],
        f"worldswitch {version}" if version else "",
    )
    return " · ".join(part for part in parts if part)


def _kernels(releases: Sequence[str]) -> str:
    return releases[0] if len(releases) == 1 else f"{len(releases)} kernels"


def headline(run: KeptRun) -> str:
    """Return when the run started, its duration, its seed, and what it covered, as one line."""
    cells = [cell.name for cell in run.cells]
    scenarios = {function_of(one.trial.scenario) for cell in run.cells for one in cell.judged}
    rows = matrix_axes.rows(cells)
    counts = (
        (len({row.kernel for row in rows}), "kernel"),
        (len({row.platform for row in rows}), "platform"),
        (len(matrix_axes.columns(cells)), "profile"),
        (len(scenarios), "scenario"),
    )
    return f"{started(run)}, {duration(run)}, seed {run.manifest.seed}: " + ", ".join(
        f"{number} {name}{'s' if number != 1 else ''}" for number, name in counts if name != "platform" or number > 1
    )


def started(run: KeptRun) -> str:
    """Return the start time, in UTC."""
    return datetime.fromtimestamp(run.manifest.started, UTC).strftime("%Y-%m-%d %H:%M UTC")


def duration(run: KeptRun) -> str:
    """Return the duration in hours and minutes, or in minutes and seconds."""
    if run.manifest.finished is None:
        return "cut off"
    minutes, rest = divmod(round(run.manifest.finished - run.manifest.started), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"


def verdicts(run: KeptRun) -> dict[str, int]:
    """Return the number of trials of each verdict that occurs."""
    counts = sum((outcome.verdicts for outcome in run.outcomes), Counter[Verdict]())
    return {verdict.value: counts[verdict] for verdict in Verdict if counts[verdict]}


def table(run: KeptRun) -> list[tuple[matrix_axes.MatrixRow, str, list[KeptCell | None]]]:
    """Return the rows of the matrix, each with the kernel's release and its cells by column."""
    places = {matrix_axes.place(cell.name): cell for cell in run.cells}
    names = [cell.name for cell in run.cells]
    columns = matrix_axes.columns(names)
    rows = [(row, [places.get((row, column)) for column in columns]) for row in matrix_axes.rows(names)]
    return [(row, release(cells), cells) for row, cells in rows]


def release(cells: Iterable[KeptCell | None]) -> str:
    """Return the kernel's release, as the cells report it."""
    seen = (matrix_axes.release(cell.header.fingerprint.kernel) for cell in cells if cell and cell.header)
    return " ".join(dict.fromkeys(seen))


def differences(run: KeptRun) -> list[KernelVerdicts]:
    """Return the scenarios whose verdicts differ between kernels under the same profile; misses are ignored."""
    groups: dict[tuple[str, str], dict[str, list[tuple[str, Judged]]]] = {}
    for cell in run.cells:
        row, column = matrix_axes.place(cell.name)
        for one in cell.judged:
            if one.trial.verdict is not Verdict.MISS:
                same = groups.setdefault((column, row.platform), {})
                same.setdefault(one.trial.scenario, []).append((row.kernel, one))
    found: dict[tuple[str, str], KernelVerdicts] = {}
    for (column, _), scenarios in groups.items():
        for seen in scenarios.values():
            if len({one.trial.verdict for _, one in seen}) > 1:
                group = _difference(seen)
                known = found.setdefault((group.scenario, str(group.kernels)), group)
                known.profiles.append(column or matrix_axes.NOWHERE)
    return sorted(found.values(), key=lambda one: (one.ids, one.scenario))


def _difference(seen: Sequence[tuple[str, Judged]]) -> KernelVerdicts:
    kernels: dict[str, list[str]] = {}
    for kernel, one in sorted(seen, key=lambda pair: minor(pair[0])):
        kernels.setdefault(one.trial.verdict.value, []).append(kernel)
    trial = seen[0][1].trial
    return KernelVerdicts(trial.scenario, " ".join(trial.ids), kernels)


def problems(run: KeptRun) -> dict[tuple[str, str], list[str]]:
    """Return the cells of each problem, by its reason and remedy."""
    found: dict[tuple[str, str], list[str]] = {}
    for cell in run.cells:
        if cell.problem:
            found.setdefault((cell.problem.reason, cell.problem.remedy), []).append(str(cell.name))
    return found


def named(names: Sequence[str]) -> str:
    """Return the first names as text, and the number of the others."""
    more = len(names) - FEW
    return ", ".join(names[:FEW]) + (f" and {more} more" if more > 0 else "")


def unexpected(run: KeptRun) -> Sequence[UnexpectedGroup]:
    """Return the unexpected verdicts by scenario, without the misses that a cell's problem explains."""
    return _by_scenario(causes.unexpected(run.outcomes))


def causes_of(run: KeptRun) -> list[tuple[FailureGroup, Sequence[UnexpectedGroup]]]:
    """Return the unexpected verdicts by cause, and those of each cause by scenario."""
    return [(group, _by_scenario(group.trials)) for group in causes.groups(run.outcomes)]


def _by_scenario(trials: Iterable[tuple[CellName, Judged]]) -> Sequence[UnexpectedGroup]:
    found: dict[tuple[str, Verdict], UnexpectedGroup] = {}
    for cell, one in trials:
        trial = one.trial
        group = UnexpectedGroup(trial.scenario, " ".join(trial.ids), trial.verdict.value, trial.reason, "")
        group = found.setdefault((trial.scenario, trial.verdict), group)
        group.expected = str(one.judgement).removeprefix("expected ")
        group.cells.append(str(cell))
    return list(found.values())
