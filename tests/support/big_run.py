"""A generated run of the size of a full matrix."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

from worldswitch.harness.cell.diagnosis.model import Diagnosis, Event, ProcessSnapshot, ThreadSnapshot
from worldswitch.harness.cell.records import Fingerprint, Header, ProbeResult, Trial
from worldswitch.harness.cell_name import CellName
from worldswitch.harness.expectations.judgement import PASSES, Judgement
from worldswitch.harness.expectations.outcome import Judged, Problem
from worldswitch.harness.results.cell_file import Reached
from worldswitch.harness.results.manifest import Manifest, PlannedCell
from worldswitch.harness.results.reader import KeptCell, KeptRun
from worldswitch.harness.verdict import Verdict

KERNELS = ("5.10", "6.1", "6.12", "6.16", "6.17", "6.18", "6.19", "7.0", "7.1", "7.2", "7.3")
PROFILES = (
    "",
    "docker-default",
    "hardened",
    "no-ptrace",
    "sys-ptrace",
    "unconfined",
    *(f"made-up-{n}" for n in range(14)),
)
FAMILIES = ("address_ranges", "injection", "kernel_stops", "life", "pool", "signals", "threads")
FORBIDDEN = Judgement(True, frozenset({Verdict.BLOCKED}), "the profile denies ptrace")
LACKING = Judgement(True, PASSES | {Verdict.UNSUPPORTED}, "this kernel lacks what they need")
NEW = "7.3"  #: a kernel without a package


def kept_run(*cells: KeptCell, name: str = "20260102T030405-0a1b", seconds: float = 9000.0) -> KeptRun:
    """Return a run of these cells."""
    plans = tuple(cell.plan for cell in cells)
    begun = 1767323045.0
    manifest = Manifest(
        run=name,
        started=begun,
        finished=begun + seconds,
        seed=7,
        request={},
        kernel="",
        versions={},
        scenarios=(),
        cells=plans,
    )
    return KeptRun(Path("results", name), manifest, cells)


def kept_cell(
    name: str, judged: Sequence[Judged], problem: Problem | None = None, header: Header | None = None
) -> KeptCell:
    """Return a cell with these trials."""
    cell = CellName(*name.split("/"))
    plan = PlannedCell(environment=cell.environment, platform=cell.platform, file=cell.file, started=0.0, finished=40.0)
    planned = tuple(one.trial.scenario for one in judged)
    return KeptCell(plan, Path(plan.file), Reached(header=header), planned, tuple(judged), problem)


def run(kernels: Sequence[str] = KERNELS, profiles: Sequence[str] = PROFILES, scenarios: int = 470) -> KeptRun:
    """Return a matrix with some of each kind of result."""
    chance = random.Random(7)
    names = [f"{FAMILIES[n % len(FAMILIES)]}::claim_number_{n}_holds_whatever_else_goes_on" for n in range(scenarios)]
    cells = [
        _cell(CellName(f"docker:{profile}" if profile else "host"), "6.18.5", names, chance) for profile in profiles
    ]
    for kernel in kernels:
        cells += [
            _cell(CellName(f"linux-{kernel}" + (f":{profile}" if profile else "")), f"{kernel}.4", names, chance)
            for profile in profiles
        ]
    return kept_run(*cells)


def _cell(cell: CellName, release: str, names: Sequence[str], chance: random.Random) -> KeptCell:
    if f"linux-{NEW}" in cell.environment:
        missed = tuple(
            Judged(
                Trial(scenario=name, verdict=Verdict.MISS, ids=(f"SG{number:02}",), reason="no such kernel"),
                Judgement(False, PASSES),
            )
            for number, name in enumerate(names)
        )
        return kept_cell(str(cell), missed, Problem("no package of 7.3 in any suite", "name a kernel by --kernel"))
    judged = tuple(_judged(cell, number, name, chance) for number, name in enumerate(names))
    probes = {
        f"probe{n}": ProbeResult("yes" if n % 9 or release > "6" else "no", f"it says {n % 7}") for n in range(50)
    }
    facts = {f"fact{n}": f"{release if n % 11 == 0 else 'the same'}" for n in range(76)}
    seen = Fingerprint(
        kernel=f"Linux {release} #1 SMP",
        machine="x86_64",
        cpu="made up",
        cpus=2,
        python="CPython 3.13.1",
        versions={},
        probes=probes,
        facts=facts,
        behaviour=f"b{release}",
    )
    header = Header(
        run="r",
        started=1767323045.0,
        environment={"name": cell.environment, "engine": "docker"},
        platform="reference",
        repeat="quick",
        seed=7,
        planned=tuple(names),
        fingerprint=seen,
    )
    return kept_cell(str(cell), judged, header=header)


def _judged(cell: CellName, number: int, name: str, chance: random.Random) -> Judged:
    def made(verdict: Verdict, judgement: Judgement, **more: object) -> Judged:
        values: dict[str, object] = {
            "scenario": name,
            "verdict": verdict,
            "ids": (f"SG{number:02}",),
            "claim": "It holds, whatever else goes on.",
            "clauses": ("seed.W1",),
            "seconds": 0.1,
        }
        return Judged(Trial(**(values | more)), judgement)  # type: ignore[arg-type]

    if cell.environment.endswith("no-ptrace") and number > 5:
        return made(Verdict.BLOCKED, FORBIDDEN, reason="needs ptrace: Operation not permitted")
    if number % 31 == 0 and "linux-5" in cell.environment:
        return made(Verdict.UNSUPPORTED, LACKING, reason="needs rseq: no such thing")
    if chance.random() < 0.001:
        transcript = tuple(f"{line / 100:10.6f}  switch() -> Syscall({line})" for line in range(80))
        events = tuple(
            Event(
                seconds=n / 1000,
                tracer=10,
                tid=11 + n % 2,
                request="PTRACE_SYSEMU",
                result="0",
                registers={"rip": hex(n * 4096)},
            )
            for n in range(40)
        )
        stub = ProcessSnapshot(
            pid=11,
            parent=10,
            name="stub",
            threads=(
                ThreadSnapshot(
                    tid=11,
                    name="stub",
                    state="t (tracing stop)",
                    tracer=10,
                    wchan="ptrace_stop",
                    stack=("ptrace_stop+0x1", "get_signal+0x2"),
                ),
            ),
            maps=("70000000-70001000 r-xp stub",),
        )
        verdict = chance.choice((Verdict.FAIL, Verdict.FAIL, Verdict.TIMEOUT, Verdict.CRASH))
        return made(
            verdict,
            Judgement(False, PASSES),
            reason="assert 1 == 2",
            detail=">   assert 1 == 2\nE   assert 1 == 2",
            transcript=transcript,
            diagnosis=Diagnosis(events=events, forgotten=912, processes=(stub,), moment="when its assertion failed"),
        )
    return made(Verdict.PASS, Judgement(True, PASSES))
