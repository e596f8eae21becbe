"""What a report says: numbers out of a file of results, arranged; what the file does not have is left out."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from worldswitch.harness.bench import comparison, noise, ratios
from worldswitch.harness.bench.ratios import Estimate
from worldswitch.harness.bench.results_file import Results, Series

# ---------------------------------------------------------------------------------------------- where the time goes


@dataclass(frozen=True, slots=True)
class SwitchStep:
    """One more thing that a switch does: the time up to here, and what this step adds."""

    label: str
    about: str
    total: Estimate
    added: Estimate


#: What is added one after the other, and the benchmark that has everything up to there.
STEPS = (
    ("native", "a system call that nobody traces", "limits::getpid"),
    ("seccomp", "a filter over it that allows everything", "limits::getpid_filtered"),
    ("raw ptrace", "the stop: to the tracer and back", "limits::sysemu_yield"),
    ("registers", "the result in, all registers out", "limits::same_calls"),
    ("extended state", "vector registers out", "limits::same_calls_xstate"),
    ("Python", "switch(): from C into Python and back", "switch::default_pinned"),
    ("placement", "not pinned: the stub follows its tracer", "switch::default_follow"),
)


def steps(results: Results) -> list[SwitchStep]:
    """The steps of which there is a measurement, each against the one before it."""
    found: list[SwitchStep] = []
    before: Mapping[int, float] = {}
    for label, about, name in STEPS:
        one = results.series.get(name)
        if one is None:
            continue
        shared = sorted(one.by_round.keys() & before.keys()) if before else sorted(one.by_round)
        if shared:
            added = ratios.of_median([one.by_round[number] - before.get(number, 0.0) for number in shared])
            found.append(SwitchStep(label, about, ratios.of_median(one.samples), added))
            before = one.by_round
    return found


# ------------------------------------------------------------------------------------------------------------- ratios


@dataclass(frozen=True, slots=True)
class RatioTarget:
    """A ratio that the reference is to keep, or one that is told beside others."""

    above: str
    below: str
    about: str
    at_most: float | None = None
    at_least: float | None = None


TARGETS = (
    RatioTarget("switch::resident_pinned", "limits::sysemu", "a resident switch ÷ the bare round trip", at_most=1.45),
    RatioTarget("switch::resident_pinned", "limits::sysemu_yield", "the same ÷ the bare round trip that yields first"),
    RatioTarget("switch::resident_pinned", "limits::same_calls", "the same ÷ its kernel calls made by C", at_most=1.10),
    RatioTarget("switch::default_pinned", "limits::sysemu", "a default switch ÷ the bare round trip", at_most=1.85),
    RatioTarget("switch::resident_follow", "switch::resident_pinned", "following stub ÷ pinned", at_most=1.3),
    RatioTarget("switch::resident_free", "switch::resident_pinned", "a stub left to the scheduler ÷ pinned"),
    RatioTarget("switch::recorded", "switch::resident_pinned", "with the flight recorder ÷ without", at_most=1.02),
    RatioTarget("limits::seed", "switch::default_pinned", "the calls of the design of 2019 ÷ a default switch"),
    RatioTarget("spaces::recycled", "spaces::fresh", "a recycled address space ÷ a fresh one", at_most=0.2),
    RatioTarget("scale::tracees[1000]", "scale::tracees[1]", "a switch beside 999 idle tracees ÷ alone", at_most=1.1),
    RatioTarget("peers::getpid::runsc-ptrace*", "reference", "runsc's ptrace platform, as users run both", at_least=4),
    RatioTarget(
        "peers_pinned::getpid::runsc-ptrace*", "reference", "runsc's ptrace platform, both pinned", at_least=1.4
    ),
    RatioTarget(
        "peers_pinned::getpid::runsc-systrap*", "reference", "runsc's systrap platform, both pinned", at_least=1
    ),
    RatioTarget("peers::getpid::user-mode-linux*", "reference", "User-Mode Linux", at_least=5),
    RatioTarget("peers::getpid::proot*", "reference", "proot", at_least=8),
    RatioTarget("peers::getpid::strace*", "reference", "strace", at_least=7),
)


@dataclass(frozen=True, slots=True)
class RatioResult:
    """A target, and what was measured."""

    about: str
    ratio: Estimate
    target: str
    verdict: str  #: met, missed or undecided; nothing where there is no target
    above: str
    below: str


def ratio_results(results: Results) -> list[RatioResult]:
    """The targets of which both halves were measured in the same rounds."""
    return [one for target in TARGETS for one in _ratio_results(results, target)]


def _ratio_results(results: Results, target: RatioTarget) -> Iterator[RatioResult]:
    pattern = re.compile(re.escape(target.above).replace(r"\*", "[^/]*"))
    for name, above in results.series.items():
        if pattern.fullmatch(name):
            twin = f"{name}/reference" if target.below == "reference" else target.below
            below = results.series.get(twin)
            if below is not None and above.by_round.keys() & below.by_round.keys():
                ratio = ratios.of_pairs(above.by_round, below.by_round)
                yield RatioResult(target.about, ratio, _said(target), _verdict(target, ratio), name, twin)


def _said(target: RatioTarget) -> str:
    if target.at_most is not None:
        return f"≤ {target.at_most:g}"
    return f"≥ {target.at_least:g}" if target.at_least is not None else ""


def _verdict(target: RatioTarget, ratio: Estimate) -> str:
    """A target is missed only when the whole interval is beyond it."""
    if target.at_most is not None:
        return "met" if ratio.high <= target.at_most else "missed" if ratio.low > target.at_most else "undecided"
    if target.at_least is not None:
        return "met" if ratio.low >= target.at_least else "missed" if ratio.high < target.at_least else "undecided"
    return ""


# -------------------------------------------------------------------------------------------------------------- peers


@dataclass(frozen=True, slots=True)
class PeerResult:
    """A peer with one program: what a round takes under it, and under the reference within moments of that."""

    mode: str  #: as users run it, or pinned
    program: str
    name: str
    version: str
    each: Estimate
    ratio: Estimate | None  #: to the reference; None where that does not run the program


RUN_MODES = {"peers": "as users run it", "peers_pinned": "all on one CPU"}

#: What the programs do, in the order in which they are shown.
PROGRAMS = {
    "getpid": "a system call that does nothing",
    "clock": "the time, by a system call that writes to memory",
    "files": "a file opened, read and closed",
    "compute": "a block of 64 bytes hashed: no system call at all",
    "processes": "a process forked, its program replaced, and waited for",
    "start": "until a program runs, and from its end until its starter knows",
}


def peer_results(results: Results) -> list[PeerResult]:
    """Every peer and program that was measured, and the reference beside them: the cheapest first."""
    order = (list(RUN_MODES.values()), list(PROGRAMS))
    found = _peer_results(results)
    return sorted(found, key=lambda one: (order[0].index(one.mode), order[1].index(one.program), one.each.middle))


def _peer_results(results: Results) -> list[PeerResult]:
    found = list(_references(results))
    for name, one in results.series.items():
        mode, _, rest = name.partition("::")
        program, _, peer = rest.partition("::")
        if mode in RUN_MODES and "/" not in peer:
            twin = results.series.get(f"{name}/reference")
            ratio = ratios.of_pairs(one.by_round, twin.by_round) if twin else None
            version = str(one.about.get("version", ""))
            found.append(PeerResult(RUN_MODES[mode], program, peer, version, ratios.of_median(one.samples), ratio))
    return found


def _references(results: Results) -> Iterator[PeerResult]:
    """What a program takes under the reference, in all the pairs that it ran in."""
    beside: dict[tuple[str, str], list[float]] = {}
    for name, one in results.series.items():
        mode, _, rest = name.partition("::")
        if mode in RUN_MODES and name.endswith("/reference"):
            beside.setdefault((mode, rest.partition("::")[0]), []).extend(one.samples)
    for (mode, program), samples in beside.items():
        yield PeerResult(RUN_MODES[mode], program, "reference", "", ratios.of_median(samples), None)


@dataclass(frozen=True, slots=True)
class ProgramTable:
    """One program, and what it takes under each: a line a peer, in each line the modes' rivals or None."""

    program: str
    about: str
    lines: tuple[tuple[str, tuple[PeerResult | None, ...]], ...]


def program_tables(results: Results) -> list[ProgramTable]:
    """Each program that was raced, its lines in the order of what is cheapest as users run it."""
    found = peer_results(results)
    return [
        ProgramTable(program, about, lines)
        for program, about in PROGRAMS.items()
        if (lines := _lines([one for one in found if one.program == program]))
    ]


def _lines(found: Sequence[PeerResult]) -> tuple[tuple[str, tuple[PeerResult | None, ...]], ...]:
    cells = {(one.name, one.mode): one for one in found}
    names = dict.fromkeys(one.name for one in found)
    return tuple((name, tuple(cells.get((name, mode)) for mode in RUN_MODES.values())) for name in names)


# ------------------------------------------------------------------------------------------------------------- scaling


@dataclass(frozen=True, slots=True)
class Curve:
    """What one costs, by how many there are."""

    name: str
    unit: str
    sizes: tuple[int, ...]
    estimates: tuple[Estimate, ...]


def curves(results: Results) -> list[Curve]:
    """A curve for each series of the subject `scale`."""
    grouped: dict[str, list[Series]] = {}
    for one in results.series.values():
        if one.subject == "scale":
            grouped.setdefault(str(one.about["series"]), []).append(one)
    return [_curve(name, sorted(several, key=lambda one: one.about["size"])) for name, several in grouped.items()]


def _curve(name: str, several: Sequence[Series]) -> Curve:
    sizes = tuple(int(one.about["size"]) for one in several)
    return Curve(name, several[0].unit, sizes, tuple(ratios.of_median(one.samples) for one in several))


# ----------------------------------------------------------------------------------------------------------- latencies

PERCENTILES = (50, 90, 99, 99.9)


@dataclass(frozen=True, slots=True)
class Latencies:
    """How long interrupts took."""

    name: str
    values: tuple[float, ...]

    @property
    def percentiles(self) -> dict[float, float]:
        """Those of which there are enough values for more than one beyond."""
        enough = [percent for percent in PERCENTILES if round(len(self.values) * (100 - percent), 6) >= 100]
        return {percent: float(np.percentile(self.values, percent, method="inverted_cdf")) for percent in enough}


def latencies(results: Results) -> list[Latencies]:
    """Idle and busy."""
    found = (results.series.get(f"interrupts::{name}") for name in ("idle", "busy"))
    return [Latencies(one.name.partition("::")[2], one.values) for one in found if one is not None]


# -------------------------------------------------------------------------------------------------------------- counts


@dataclass(frozen=True, slots=True)
class OperationCost:
    """What an operation asks of the kernel."""

    name: str
    about: str
    counts: Mapping[str, int]


def operations(results: Results) -> list[OperationCost]:
    """Those that were counted."""
    found: dict[str, OperationCost] = {}
    for one in results.series.values():
        if one.subject == "counted":
            name, _, field = one.name.partition("::")[2].rpartition(".")
            operation = found.setdefault(name, OperationCost(name, str(one.about.get("description", "")), {}))
            found[name] = OperationCost(name, operation.about, {**operation.counts, field: round(one.median)})
    return list(found.values())


# ------------------------------------------------------------------------------------------------------------ profiles


@dataclass(frozen=True, slots=True)
class ProfileCost:
    """A switch under one container profile."""

    name: str
    each: Estimate
    ratio: Estimate  #: to the host, within rounds


def profile_costs(results: Results, what: str = "switch::resident_pinned") -> list[ProfileCost]:
    """A benchmark in every environment that has it, and on the host beside them."""
    host = results.series.get(f"host/{what}")
    if host is None:
        return []
    found = []
    for name, one in results.series.items():
        environment, slash, benchmark = name.partition("/")
        if slash and benchmark == what and one.by_round.keys() & host.by_round.keys():
            ratio = ratios.of_pairs(one.by_round, host.by_round)
            found.append(ProfileCost(environment, ratios.of_median(one.samples), ratio))
    return sorted(found, key=lambda one: (one.name != "host", one.each.middle))


# --------------------------------------------------------------------------------------------------------------- trust


@dataclass(frozen=True, slots=True)
class SubjectNoise:
    """How far one subject's numbers may be trusted."""

    subject: str
    floor: float
    rounds: int
    needed: int | None  #: for 10 %, in the noisiest of its benchmarks


def subject_noise(results: Results) -> list[SubjectNoise]:
    """Each subject that was timed."""
    found = []
    for subject in dict.fromkeys(one.subject for one in results.series.values() if one.unit == "second"):
        mine = [one for one in results.series.values() if one.subject == subject and one.unit == "second"]
        floor = comparison.floor_of(results, subject)
        threshold = max(floor, noise.MIN_EFFECT)
        needed = [noise.rounds_needed(one.samples, threshold) for one in mine]
        most = None if None in needed else max(number for number in needed if number is not None)
        found.append(SubjectNoise(subject, floor, max(len(one.samples) for one in mine), most))
    return found
