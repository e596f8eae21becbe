"""Environments whose cells say what a test has written for them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from worldswitch.harness.catalogue.scenarios import Scenario
from worldswitch.harness.cell import records as results
from worldswitch.harness.cell.records import Fingerprint, Footer, Header, ProbeResult, Record, Trial, Word
from worldswitch.harness.cell_name import CellName
from worldswitch.harness.environments import plan
from worldswitch.harness.environments.prepared import Plan
from worldswitch.harness.environments.profiles.profile import Profile
from worldswitch.harness.environments.protocol import Environment, Lane, Missing
from worldswitch.harness.expectations.judgement import Expectation
from worldswitch.harness.expectations.outcome import CellOutcome, Judged
from worldswitch.harness.run.request import Request
from worldswitch.harness.run.runner import Run
from worldswitch.harness.verdict import Verdict

Line = bytes | Callable[[], bytes]  #: what a cell says, or does before it says it


def scenario(name: str, *ids: str, needs: tuple[str, ...] = ()) -> Scenario:
    """A scenario that nobody wrote."""
    return Scenario(name, ids, f"The claim of {name}.", ("seed.W1",), needs, {}, deadline=1.0)


#: What there is to run in these tests.
SCENARIOS = (
    scenario("signals::one_is_ignored", "SG01"),
    scenario("signals::another_is_ignored", "SG01"),
    scenario("threads::one_vanishes", "TT01", needs=("ptrace_denied",)),
)
NAMES = tuple(one.name for one in SCENARIOS)


def header(planned: Sequence[str] = NAMES, mutant: str | None = None, **probes: str) -> Header:
    """A cell's first word."""
    found = {name: ProbeResult(state, f"{name} is {state}") for name, state in probes.items()}
    machine = Fingerprint(kernel="Linux", machine="x86_64", cpu="any", cpus=2, python="3", versions={}, probes=found)
    return Header(
        run="a-run",
        started=1.0,
        environment={"name": "somewhere"},
        platform="reference",
        mutant=mutant,
        repeat="quick",
        seed=7,
        planned=tuple(planned),
        fingerprint=machine,
    )


def trial(name: str = NAMES[0], verdict: Verdict = Verdict.PASS, **more: object) -> Trial:
    """One verdict."""
    ids = next((one.ids for one in SCENARIOS if one.name == name), ())
    values: dict[str, object] = {"ids": ids, "claim": f"The claim of {name}."} | more
    return results.msgspec.convert({"scenario": name, "verdict": verdict, **values}, Trial, from_attributes=True)


def footer(trials: Iterable[Trial]) -> Footer:
    """A cell's last word."""
    return Footer(finished=2.0, counts=results.tally(trials))


def whole(*trials: Trial, mutant: str | None = None) -> list[Record]:
    """All that a cell says which ran well."""
    return [header([one.scenario for one in trials], mutant), *trials, footer(trials)]


def frames(records: Iterable[Word]) -> list[Line]:
    """The same as it crosses the stream."""
    return [line + b"\n" for record in records for line in results.frame(record).splitlines()]


@dataclass
class ScriptedCell:
    lines: Sequence[Line]
    status: int = 0
    log: str = ""
    killed: bool = False

    def frames(self) -> Iterator[bytes]:
        for line in self.lines:
            yield line if isinstance(line, bytes) else line()

    def wait(self, deadline: float) -> int:
        return self.status

    def kill(self) -> None:
        self.killed = True


def hang() -> bytes:
    """Say nothing until the test has ended."""
    time.sleep(60)
    return b""


@dataclass
class Scripted:
    """An environment; what its cells say may depend on how they are started."""

    name: str
    script: Callable[[Sequence[str]], ScriptedCell]
    profile: Profile | None = None
    facts: Mapping[str, str] = field(default_factory=lambda: {"engine": "none"})
    cells: list[ScriptedCell] = field(default_factory=list)
    lane: Lane | None = None

    def start(self, arguments: Sequence[str]) -> ScriptedCell:
        self.cells.append(self.script(arguments))
        return self.cells[-1]


def place(name: str, lines: Sequence[Line], *expectations: Expectation, status: int = 0, log: str = "") -> Scripted:
    """An environment whose cells all say `lines`."""
    return Scripted(name, lambda _: ScriptedCell(lines, status, log), expecting(*expectations))


def expecting(*rules: Expectation) -> Profile | None:
    """A profile under which this is expected; none without a rule."""
    if not rules:
        return None
    name = rules[0].file.removesuffix(".toml") or "x"
    return Profile(name, "made for a test", (), "default", expect=tuple(map(_table, rules)))


def _table(rule: Expectation) -> dict[str, object]:
    fields = {
        "scenarios": rule.scenarios,
        "needs": tuple(rule.needs),
        "evidence": rule.evidence,
        "expires": rule.expires,
    }
    said = {name: value for name, value in fields.items() if value}
    return {"verdicts": tuple(rule.verdicts), "reason": rule.reason, **said}


def planner(*places: Environment | Missing) -> Callable[..., Plan]:
    """In place of `environment.plan`."""
    return lambda *_, **__: Plan(list(places))


class Quiet:
    """A watcher that keeps what it is told."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.began: list[str] = []
        self.judged: list[Judged] = []
        self.outcomes: list[CellOutcome] = []

    def say(self, line: str) -> None:
        self.said.append(line)

    def cell_starts(self, cell: CellName) -> None: ...

    def cell_plans(self, cell: CellName, trials: int) -> None: ...

    def trial_begins(self, cell: CellName, scenario: str) -> None:
        self.began.append(scenario)

    def trial_ends(self, cell: CellName, judged: Judged) -> None:
        self.judged.append(judged)

    def cell_ends(self, outcome: CellOutcome) -> None:
        self.outcomes.append(outcome)


def run_in(patch: pytest.MonkeyPatch, folder: Path, *places: Environment | Missing, **request: Any) -> Run:
    """Run the scenarios in these environments; return the finished run."""
    patch.setattr(plan, "plan", planner(*places))
    made = Run(Request(**request), SCENARIOS, folder, Quiet())
    made.go()
    return made
