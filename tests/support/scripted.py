"""Environments whose cells replay scripted frames."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest

from worldswitch.harness.catalogue.scenarios import Scenario
from worldswitch.harness.cell import frames as cell_frames
from worldswitch.harness.cell import records
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

Line = bytes | Callable[[], bytes]  #: a line of output, or a function that returns one


def scenario(name: str, *ids: str, needs: tuple[str, ...] = ()) -> Scenario:
    """A fictitious scenario."""
    return Scenario(name, ids, f"The claim of {name}.", ("seed.W1",), needs, {}, deadline=1.0)


#: The scenarios of these tests.
SCENARIOS = (
    scenario("signals::one_is_ignored", "SG01"),
    scenario("signals::another_is_ignored", "SG01"),
    scenario("threads::one_vanishes", "TT01", needs=("ptrace_denied",)),
)
NAMES = tuple(it.name for it in SCENARIOS)


def header(planned: Sequence[str] = NAMES, mutant: str | None = None, **probes: str) -> Header:
    """A cell's header."""
    found = {name: ProbeResult(state, f"{name} is {state}") for name, state in probes.items()}
    machine = Fingerprint(kernel="Linux", machine="x86_64", cpu="any", cpus=2, python="3", versions={}, probes=found)
    return Header(
        run="a-run",
        started=1.0,
        environment={},
        platform="reference",
        mutant=mutant,
        repeat="quick",
        seed=7,
        planned=tuple(planned),
        fingerprint=machine,
    )


def trial(name: str = NAMES[0], verdict: Verdict = Verdict.PASS, **more: object) -> Trial:
    """A trial."""
    ids = next((it.ids for it in SCENARIOS if it.name == name), ())
    values: dict[str, object] = {"ids": ids, "claim": f"The claim of {name}."} | more
    return msgspec.convert({"scenario": name, "verdict": verdict, **values}, Trial, from_attributes=True)


def footer(trials: Iterable[Trial]) -> Footer:
    """A cell's footer."""
    return Footer(finished=2.0, counts=records.tally(trials))


def whole(*trials: Trial, mutant: str | None = None) -> list[Record]:
    """The records of a complete cell."""
    return [header([it.scenario for it in trials], mutant), *trials, footer(trials)]


def frames(words: Iterable[Word]) -> list[Line]:
    """Records as frames."""
    return [line + b"\n" for word in words for line in records.frame(word).splitlines()]


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
    """Sleep past the end of the test."""
    time.sleep(60)
    return b""


@dataclass
class Scripted:
    """An environment; `script` makes a cell from its arguments."""

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
    """An environment whose cells all write `lines`."""
    return Scripted(name, lambda asked: ScriptedCell(_of(asked, lines), status, log), expecting(*expectations))


def _of(arguments: Sequence[str], lines: Sequence[Line]) -> list[Line]:
    """Return the lines with the platform of the cell's arguments in the header."""
    words = [*arguments, "--platform", "reference"]
    platform = words[words.index("--platform") + 1].encode()
    return [line if callable(line) else _renamed(line, platform) for line in lines]


def _renamed(line: bytes, platform: bytes) -> bytes:
    payload = cell_frames.decode(line)
    if payload is None or not payload.startswith(b'{"kind":"header"'):
        return line
    return cell_frames.encode(payload.replace(b'"platform":"reference"', b'"platform":"%s"' % platform))[1:]


def expecting(*rules: Expectation) -> Profile | None:
    """Return a profile with these rules; None without rules."""
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
    given = {name: value for name, value in fields.items() if value}
    return {"verdicts": tuple(rule.verdicts), "reason": rule.reason, **given}


def planner(*places: Environment | Missing) -> Callable[..., Plan]:
    """A replacement for `plan.plan` that returns these environments."""
    return lambda *_, **__: Plan(list(places))


class Quiet:
    """A watcher that stores its calls."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.began: list[str] = []
        self.judged: list[Judged] = []
        self.outcomes: list[CellOutcome] = []

    def say(self, line: str) -> None:
        self.said.append(line)

    def run_plans(self, cells: Mapping[CellName, int]) -> None: ...

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
