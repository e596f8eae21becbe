"""What there is to say of a whole run, in few words: the same on the page, in Markdown and on a terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from worldswitch.harness.expectations.outcome import Judged, Status, status
from worldswitch.harness.linux.release import minor
from worldswitch.harness.results import matrix_axes
from worldswitch.harness.results.reader import KeptCell, KeptRun
from worldswitch.harness.verdict import Verdict

FEW = 8  #: cells are named where there are more

CONCLUSIONS = {
    Status.AS_EXPECTED: "Every cell ran, and every verdict was the one to expect.",
    Status.UNEXPECTED: "Not every verdict was the one to expect.",
    Status.COULD_NOT_RUN: "Nothing unexpected was seen, but not all that was planned could run.",
}


@dataclass
class UnexpectedGroup:
    """One scenario that ended in one unexpected way, with the cells where it did."""

    scenario: str
    ids: str
    verdict: str
    reason: str  #: that of the first cell
    expected: str
    cells: list[str] = field(default_factory=list)

    @property
    def sentence(self) -> str:
        """Its name, for people."""
        return self.scenario.partition("::")[2].replace("_", " ")


@dataclass
class KernelVerdicts:
    """One scenario on which kernels differ, with the profiles in which they do so alike."""

    scenario: str
    ids: str
    kernels: dict[str, list[str]]  #: by verdict
    profiles: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return "; ".join(f"{verdict}: {named(rows)}" for verdict, rows in self.kernels.items())


def conclusion(run: KeptRun) -> str:
    """What it amounts to."""
    return CONCLUSIONS[verdict_on(run)]


def verdict_on(run: KeptRun) -> Status:
    """The exit status that the run had."""
    found = status(run.outcomes, run.manifest.stale)
    cut_off = run.manifest.interrupted or run.manifest.finished is None
    return Status.COULD_NOT_RUN if cut_off and found is Status.AS_EXPECTED else found


def headline(run: KeptRun) -> str:
    """The run in a line."""
    cells = [cell.name for cell in run.cells]
    scenarios = {one.trial.scenario for cell in run.cells for one in cell.judged}
    rows = matrix_axes.rows(cells)
    counts = (
        (len({row.kernel for row in rows}), "kernel"),
        (len({row.platform for row in rows}), "platform"),
        (len(matrix_axes.columns(cells)), "profile"),
        (len(scenarios), "scenario"),
    )
    return f"{started(run)}, {took(run)}, seed {run.manifest.seed}: " + ", ".join(
        f"{number} {name}{'s' if number != 1 else ''}" for number, name in counts if name != "platform" or number > 1
    )


def started(run: KeptRun) -> str:
    """When."""
    return datetime.fromtimestamp(run.manifest.started, UTC).strftime("%Y-%m-%d %H:%M UTC")


def took(run: KeptRun) -> str:
    """How long, for people."""
    if run.manifest.finished is None:
        return "cut off"
    minutes, rest = divmod(round(run.manifest.finished - run.manifest.started), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"


def verdicts(run: KeptRun) -> dict[str, int]:
    """How often each verdict occurs."""
    counts = sum((outcome.verdicts for outcome in run.outcomes), Counter[Verdict]())
    return {verdict.value: counts[verdict] for verdict in Verdict if counts[verdict]}


def table(run: KeptRun) -> list[tuple[matrix_axes.MatrixRow, str, list[KeptCell | None]]]:
    """The rows of the matrix, each with the kernel's release and its cells, column by column."""
    places = {matrix_axes.place(cell.name): cell for cell in run.cells}
    names = [cell.name for cell in run.cells]
    columns = matrix_axes.columns(names)
    rows = [(row, [places.get((row, column)) for column in columns]) for row in matrix_axes.rows(names)]
    return [(row, release(cells), cells) for row, cells in rows]


def release(cells: Iterable[KeptCell | None]) -> str:
    """The kernel's release, as the cells saw it."""
    seen = (matrix_axes.release(cell.header.fingerprint.kernel) for cell in cells if cell and cell.header)
    return " ".join(dict.fromkeys(seen))


def differences(run: KeptRun) -> list[KernelVerdicts]:
    """The scenarios on which kernels differ where the profile is the same; what never ran differs from nothing."""
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
                made = _difference(seen)
                known = found.setdefault((made.scenario, str(made.kernels)), made)
                known.profiles.append(column or matrix_axes.NOWHERE)
    return sorted(found.values(), key=lambda one: (one.ids, one.scenario))


def _difference(seen: Sequence[tuple[str, Judged]]) -> KernelVerdicts:
    kernels: dict[str, list[str]] = {}
    for kernel, one in sorted(seen, key=lambda pair: minor(pair[0])):
        kernels.setdefault(one.trial.verdict.value, []).append(kernel)
    trial = seen[0][1].trial
    return KernelVerdicts(trial.scenario, " ".join(trial.ids), kernels)


def problems(run: KeptRun) -> dict[tuple[str, str], list[str]]:
    """Why cells did not run as planned, and what to do, each with all the cells of which it is true."""
    found: dict[tuple[str, str], list[str]] = {}
    for cell in run.cells:
        if cell.problem:
            found.setdefault((cell.problem.reason, cell.problem.remedy), []).append(str(cell.name))
    return found


def named(names: Sequence[str]) -> str:
    """Some of them, and how many more."""
    more = len(names) - FEW
    return ", ".join(names[:FEW]) + (f" and {more} more" if more > 0 else "")


def unexpected(run: KeptRun) -> Sequence[UnexpectedGroup]:
    """What was not as expected, each with all the cells where it was so; what a cell's problem explains is not said."""
    found: dict[tuple[str, Verdict], UnexpectedGroup] = {}
    for cell in run.cells:
        for one in cell.outcome.unexpected:
            trial = one.trial
            if trial.verdict is Verdict.MISS and cell.problem:
                continue
            key = (trial.scenario, trial.verdict)
            made = UnexpectedGroup(trial.scenario, " ".join(trial.ids), trial.verdict.value, trial.reason, "")
            it = found.setdefault(key, made)
            it.expected = str(one.judgement).removeprefix("expected ")
            it.cells.append(str(cell.name))
    return list(found.values())
