"""Packs a run for its page: each verdict is a letter, each text is stored once.

A matrix has about a hundred thousand trials, and nearly all of them pass: these take one letter in the cell's string.
The others also have a note, which refers to texts by their index in one table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from worldswitch.harness.cell.diagnosis.model import Diagnosis, Event, ProcessSnapshot, ThreadSnapshot
from worldswitch.harness.cell.records import Fingerprint, Trial
from worldswitch.harness.expectations.judgement import PASSES, Judgement
from worldswitch.harness.expectations.outcome import Judged
from worldswitch.harness.legible import legible
from worldswitch.harness.linux.release import minor
from worldswitch.harness.report import prediction
from worldswitch.harness.report.outcome.answer import is_denied
from worldswitch.harness.results import matrix_axes
from worldswitch.harness.results.matrix_axes import MatrixRow
from worldswitch.harness.results.reader import KeptCell, KeptRun
from worldswitch.harness.results.verdict_letters import ABSENT, LETTERS, letter_of
from worldswitch.harness.verdict import Verdict

TEXT = 1 << 14  #: the last characters of a long text
ALL = 24 << 20  #: characters of all texts: larger pages load slowly; the results have everything
LEFT_OUT = "omitted to limit the size of this page; see the cell's file of results"

RepeatCommand = Callable[[KeptCell, Trial], str]  #: the command that repeats a trial


class PackedMachine(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A cell's fingerprint; integers in `probes` and `facts` are indexes of texts."""

    release: str = ""
    machine: str = ""
    cpu: str = ""
    cpus: int = 0
    python: str = ""
    behaviour: str = ""
    facts_from: str = ""  #: the cell in which the facts were observed, if another
    versions: dict[str, str] = {}
    environment: dict[str, Any] = {}
    probes: tuple[tuple[int, int], ...] = ()  #: state and detail, for each of the run's probes
    facts: tuple[int, ...] = ()  #: the observation, for each of the run's facts


class PackedCell(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One cell."""

    name: str
    row: int
    column: int
    verdicts: str  #: a letter for each of the run's trials
    notes: tuple[tuple[Any, ...], ...]  #: see `_Packer.note`
    seconds: float
    machine: PackedMachine
    problem: str = ""
    remedy: str = ""
    log: str = ""
    denied: bool = False  #: no platform can run there, as a probe showed
    kernel_log: int = 0  #: the index of a text
    complaints: tuple[tuple[str, str], ...] = ()  #: the kernel log's warnings and faults: the meaning, and the line
    predicted: str = ""  #: a letter for each of the run's trials, `ABSENT` for no prediction; empty without a forecast
    because: dict[str, int] = {}  #: the index of the reason for a prediction, by the number of the trial
    agreement: str = ""  #: how many verdicts are as predicted


class PackedScenario(msgspec.Struct, frozen=True, array_like=True):
    """A scenario with its claim."""

    name: str
    ids: str
    claim: str
    clauses: str


class Pack(msgspec.Struct, frozen=True, kw_only=True):
    """One run."""

    run: str
    letters: dict[str, str]
    rows: tuple[dict[str, Any], ...]
    columns: tuple[str, ...]
    scenarios: tuple[PackedScenario, ...]
    judgements: tuple[tuple[str, ...], ...]  #: expected verdicts, reason, rule, evidence
    probes: tuple[str, ...]
    facts: tuple[str, ...]
    cells: tuple[PackedCell, ...]
    texts: tuple[str, ...]


def pack(run: KeptRun, again: RepeatCommand) -> Pack:
    """Return the packed run; `again` returns the command that repeats a trial."""
    return _Packer(run, again).pack()


class _Table(dict[Any, int]):
    """Numbers distinct values in the order of first use."""

    def number(self, thing: object) -> int:
        return self.setdefault(thing, len(self))


class _Packer:
    def __init__(self, run: KeptRun, again: RepeatCommand) -> None:
        names = [cell.name for cell in run.cells]
        self._run = run
        self._again = again
        self._rows = matrix_axes.rows(names)
        self._columns = matrix_axes.columns(names)
        self._scenarios = _scenarios(run)
        self._numbers = {one.name: number for number, one in enumerate(self._scenarios)}
        prints = [cell.header.fingerprint for cell in run.cells if cell.header]
        self._probes = list(dict.fromkeys(name for one in prints for name in one.probes))
        self._facts = list(dict.fromkeys(name for one in prints for name in one.facts))
        self._judgements = _Table()
        self._judgements.number(_judged(Judgement(True, PASSES)))  # 0, the default in data.js
        self._texts = _Table()
        self._texts.number("")
        self._room = ALL

    def pack(self) -> Pack:
        cells = tuple(map(self.cell, self._run.cells))
        return Pack(
            run=self._run.manifest.run,
            letters={letter: verdict.value for verdict, letter in LETTERS.items()},
            rows=tuple(map(self.row, self._rows)),
            columns=tuple(self._columns),
            scenarios=tuple(self._scenarios),
            judgements=tuple(self._judgements),
            probes=tuple(self._probes),
            facts=tuple(self._facts),
            cells=cells,
            texts=tuple(self._texts),
        )

    def row(self, row: MatrixRow) -> dict[str, Any]:
        releases = dict.fromkeys(
            matrix_axes.release(cell.header.fingerprint.kernel)
            for cell in self._run.cells
            if cell.header and matrix_axes.place(cell.name)[0] == row
        )
        release = " ".join(releases)
        version = minor(row.kernel) or minor(release)
        return {
            "name": str(row),
            "kernel": row.kernel,
            "engine": row.engine,
            "platform": row.platform,
            "release": release,
            "version": version,
        }

    def cell(self, saved: KeptCell) -> PackedCell:
        row, column = matrix_axes.place(saved.name)
        judged = {one.trial.scenario: one for one in saved.judged}
        problem, logged = saved.problem, saved.reached.kernel_log
        return PackedCell(
            name=str(saved.name),
            row=self._rows.index(row),
            column=self._columns.index(column),
            verdicts="".join(letter_of(judged.get(name)) for name in self._numbers),
            notes=tuple(self.note(saved, one) for one in judged.values() if _is_notable(one)),
            seconds=round(saved.seconds, 1),
            machine=self.machine(saved.header.fingerprint, saved.header.environment)
            if saved.header
            else PackedMachine(),
            problem=legible(problem.reason) if problem else "",
            remedy=problem.remedy if problem else "",
            log=legible(problem.log) if problem else "",
            denied=is_denied(saved.outcome),
            kernel_log=self.text("\n".join(logged.lines)) if logged else 0,
            complaints=tuple((one.meaning, legible(one.line)) for one in logged.complaints) if logged else (),
            **(self.forecast(saved) if saved.plan.forecast else {}),
        )

    def forecast(self, saved: KeptCell) -> dict[str, Any]:
        """Return the packed predictions of a cell."""
        found = {name: prediction.predicted(saved, name) for name in self._numbers}
        letters = (LETTERS[Verdict(verdict)] if verdict else ABSENT for verdict, _ in found.values())
        because = {str(self._numbers[name]): self.text(reason) for name, (_, reason) in found.items() if reason}
        return {"predicted": "".join(letters), "because": because, "agreement": prediction.counted(saved)}

    def machine(self, seen: Fingerprint, environment: dict[str, Any]) -> PackedMachine:
        number = self.text
        found = [seen.probes.get(name) for name in self._probes]
        return PackedMachine(
            release=seen.kernel,
            machine=seen.machine,
            cpu=seen.cpu,
            cpus=seen.cpus,
            python=seen.python,
            behaviour=seen.behaviour,
            facts_from=seen.facts_from,
            versions=seen.versions,
            environment=environment,
            probes=tuple((number(one.state), number(one.detail)) if one else (0, 0) for one in found),
            facts=tuple(number(seen.facts.get(name, "")) for name in self._facts),
        )

    def note(self, saved: KeptCell, one: Judged) -> tuple[Any, ...]:
        """Scenario, judgement, reason, seconds, detail, transcript, output, command, diagnosis; without final zeros."""
        trial = one.trial
        bare = trial.verdict in (Verdict.UNSUPPORTED, Verdict.BLOCKED) and one.judgement.expected
        more = () if bare else self.more(saved, trial)
        values = [
            self._numbers[trial.scenario],
            self._judgements.number(_judged(one.judgement)),
            self.text(trial.reason),
            *more,
        ]
        while len(values) > 1 and not values[-1]:
            values.pop()
        return tuple(values)

    def more(self, saved: KeptCell, trial: Trial) -> tuple[Any, ...]:
        return (
            round(trial.seconds, 3),
            self.text(trial.detail),
            self.text("\n".join(trial.transcript)),
            self.text(trial.output),
            self.text(self._again(saved, trial)),
            self.diagnosis(trial.diagnosis) if trial.diagnosis else 0,
        )

    def diagnosis(self, seen: Diagnosis) -> tuple[Any, ...]:
        """The moment, the events, the number of earlier events, the processes."""
        events = [self.event(one) for one in seen.events]
        return self.text(seen.moment), events, seen.forgotten, [self.process(one) for one in seen.processes]

    def event(self, seen: Event) -> tuple[Any, ...]:
        registers = " ".join(f"{name}={value}" for name, value in seen.registers.items())
        status = "" if seen.status is None else f"{seen.status:#x}"
        words = map(self.text, (seen.request, seen.result, status, seen.siginfo, registers))
        return (round(seen.seconds, 6), seen.tracer, seen.tid, *words)

    def process(self, seen: ProcessSnapshot) -> tuple[Any, ...]:
        threads = [self.text(_thread(one)) for one in seen.threads]
        name = f"{seen.name} {seen.pid}, child of {seen.parent}"
        return self.text(name), threads, self.text("\n".join((*seen.maps, seen.left_out)).strip())

    def text(self, text: str) -> int:
        end = legible(text if len(text) <= TEXT else f"... {len(text) - TEXT} earlier characters\n{text[-TEXT:]}")
        if end not in self._texts:
            if len(end) > self._room:
                return self._texts.number(LEFT_OUT)
            self._room -= len(end)
        return self._texts.number(end)


def _scenarios(run: KeptRun) -> list[PackedScenario]:
    """The scenarios planned in any cell, by family; only the name is known of those that never ran."""
    found: dict[str, Trial] = {}
    for trial in (one.trial for cell in run.cells for one in cell.judged):
        if not found.get(trial.scenario, trial).claim or trial.scenario not in found:
            found[trial.scenario] = trial
    ordered = sorted(found.values(), key=lambda trial: (trial.scenario.partition("::")[0], trial.ids, trial.scenario))
    return [PackedScenario(one.scenario, " ".join(one.ids), one.claim, " ".join(one.clauses)) for one in ordered]


def _is_notable(one: Judged) -> bool:
    return one.trial.verdict is not Verdict.PASS or not one.judgement.expected or bool(one.judgement.reason)


def _judged(judgement: Judgement) -> tuple[str, ...]:
    wanted = " or ".join(sorted(verdict.value for verdict in judgement.wanted))
    return wanted, judgement.reason, judgement.rule, "; ".join(judgement.evidence)


def _thread(seen: ThreadSnapshot) -> str:
    """One thread as lines of text."""
    traced = f", traced by {seen.tracer}" if seen.tracer else ""
    where = " ".join(f"{name} {value}" for name, value in (("in", seen.syscall), ("at", seen.wchan)) if value)
    lines: Iterable[str] = (f"{seen.tid} {seen.name}: {seen.state}{traced}", where, *seen.stack)
    status = (f"{name}: {value}" for name, value in seen.status.items())
    return "\n  ".join(line for line in (*lines, *status) if line)
