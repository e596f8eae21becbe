"""Extracts a report's tables and curves from a file of results; omits what the file does not have."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from worldswitch.harness.bench import comparison, noise, ratios
from worldswitch.harness.bench.ratios import Estimate
from worldswitch.harness.bench.results_file import Results
from worldswitch.harness.bench.units import shown

# ---------------------------------------------------------------------------------------------- where the time goes


@dataclass(frozen=True, slots=True)
class SwitchStep:
    """One step of a switch, in seconds."""

    label: str
    about: str
    total: Estimate  #: the time up to and including this step
    added: Estimate  #: the time that this step adds


#: The steps in order, and for each the benchmark that contains it and all steps before.
STEPS = (
    ("native", "an untraced system call", "limits::getpid"),
    ("seccomp", "a filter that allows everything", "limits::getpid_filtered"),
    ("raw ptrace", "the stop: to the tracer and back", "limits::sysemu_yield"),
    ("registers", "the result in, all registers out", "limits::same_calls"),
    ("extended state", "vector registers out", "limits::same_calls_xstate"),
    ("Python", "switch(): from C into Python and back", "switch::default_pinned"),
    ("placement", "not pinned: the stub follows its tracer", "switch::default_follow"),
)


def steps(results: Results) -> list[SwitchStep]:
    """Return the measured steps, each compared with the one before within rounds."""
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
    """A ratio of two benchmarks in the report, with a target for the reference if it has one."""

    above: str  #: a benchmark's name, or a pattern of peers' names
    below: str  #: a benchmark's name, or "reference" for the series paired with the peer
    about: str
    at_most: float | None = None
    at_least: float | None = None


TARGETS = (
    RatioTarget("switch::resident_pinned", "limits::sysemu", "a resident switch ÷ the bare round trip", at_most=1.45),
    RatioTarget("switch::resident_pinned", "limits::sysemu_yield", "the same ÷ the bare round trip that yields first"),
    RatioTarget("switch::resident_pinned", "limits::same_calls", "the same ÷ its kernel calls made in C", at_most=1.10),
    RatioTarget("switch::default_pinned", "limits::sysemu", "a default switch ÷ the bare round trip", at_most=1.85),
    RatioTarget("switch::resident_follow", "switch::resident_pinned", "following stub ÷ pinned", at_most=1.3),
    RatioTarget("switch::resident_free", "switch::resident_pinned", "a stub left to the scheduler ÷ pinned"),
    RatioTarget("switch::recorded", "switch::resident_pinned", "with the flight recorder ÷ without", at_most=1.02),
    RatioTarget("limits::seed", "switch::default_pinned", "the calls of the design of 2019 ÷ a default switch"),
    RatioTarget("spaces::recycled", "spaces::fresh", "a recycled address space ÷ a fresh one", at_most=0.2),
    RatioTarget("scale::tracees[1000]", "scale::tracees[1]", "a switch with 999 idle tracees ÷ without", at_most=1.1),
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
    """A measured ratio."""

    about: str
    ratio: Estimate
    target: str  #: such as "≤ 1.1"; empty without a target
    verdict: str  #: met, missed or undecided; empty without a target
    above: str  #: the name of the numerator's series
    below: str  #: the name of the denominator's series


def ratio_results(results: Results) -> list[RatioResult]:
    """Return a result for each target whose two series were measured in the same rounds."""
    return [one for target in TARGETS for one in _ratio_results(results, target)]


def _ratio_results(results: Results, target: RatioTarget) -> Iterator[RatioResult]:
    pattern = re.compile(re.escape(target.above).replace(r"\*", "[^/]*"))
    for name, above in results.series.items():
        if pattern.fullmatch(name):
            twin = f"{name}/reference" if target.below == "reference" else target.below
            below = results.series.get(twin)
            if below is not None and above.by_round.keys() & below.by_round.keys():
                ratio = ratios.of_pairs(above.by_round, below.by_round)
                yield RatioResult(target.about, ratio, _target_text(target), _verdict(target, ratio), name, twin)


def has_intervals(estimates: Iterable[Estimate | None]) -> bool:
    """True if there were enough rounds for an interval of at least one of these ratios."""
    return any(one is not None and one.high != float("inf") for one in estimates)


def _target_text(target: RatioTarget) -> str:
    if target.at_most is not None:
        return f"≤ {target.at_most:g}"
    return f"≥ {target.at_least:g}" if target.at_least is not None else ""


def _verdict(target: RatioTarget, ratio: Estimate) -> str:
    """A target is met or missed only if the whole interval is on one side of it."""
    if target.at_most is not None:
        return "met" if ratio.high <= target.at_most else "missed" if ratio.low > target.at_most else "undecided"
    if target.at_least is not None:
        return "met" if ratio.low >= target.at_least else "missed" if ratio.high < target.at_least else "undecided"
    return ""


# -------------------------------------------------------------------------------------------------------------- peers


@dataclass(frozen=True, slots=True)
class PeerResult:
    """One peer with one program."""

    mode: str  #: a value of `RUN_MODES`
    program: str
    name: str
    version: str
    each: Estimate  #: seconds per round of the program
    ratio: Estimate | None  #: peer ÷ reference; None if the reference does not run the program


RUN_MODES = {"peers": "as users run it", "peers_pinned": "all on one CPU"}

#: What the programs do, in the report's order.
PROGRAMS = {
    "getpid": "a system call that does nothing",
    "clock": "clock_gettime as a system call, which writes to memory",
    "files": "a file opened, read and closed",
    "compute": "a block of 64 bytes hashed, without system calls",
    "processes": "fork, execve and wait",
    "start": "starting and ending the peer, without the program's own time",
}


def peer_results(results: Results) -> list[PeerResult]:
    """Return a result for each peer and program, and for the reference, sorted by mode, program and cost."""
    order = (list(RUN_MODES.values()), list(PROGRAMS))
    found = _peer_results(results)
    return sorted(found, key=lambda one: (order[0].index(one.mode), order[1].index(one.program), one.each.middle))


def _peer_results(results: Results) -> Iterator[PeerResult]:
    pooled: dict[tuple[str, str], list[float]] = {}  # the reference's samples of all pairs, by mode and program
    for name, one in results.series.items():
        if one.subject not in RUN_MODES:
            continue
        mode, (program, peer) = RUN_MODES[one.subject], name.split("::")[1:]
        if peer.endswith("/reference"):
            pooled.setdefault((mode, program), []).extend(one.samples)
            continue
        twin = results.series.get(f"{name}/reference")
        ratio = ratios.of_pairs(one.by_round, twin.by_round) if twin else None
        version = str(one.about.get("version", ""))
        yield PeerResult(mode, program, peer, version, ratios.of_median(one.samples), ratio)
    for (mode, program), samples in pooled.items():
        yield PeerResult(mode, program, "reference", "", ratios.of_median(samples), None)


@dataclass(frozen=True, slots=True)
class ProgramTable:
    """The table of one program."""

    program: str
    about: str
    lines: tuple[tuple[str, tuple[PeerResult | None, ...]], ...]  #: (peer, a result or None for each mode)


def program_tables(results: Results) -> list[ProgramTable]:
    """Return a table for each measured program, its cheapest peer first."""
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
    """The cost of each of many objects, by their number."""

    name: str
    unit: str
    estimates: dict[int, Estimate]  #: by size


def curves(results: Results) -> list[Curve]:
    """Return a curve for each series of the subject `scale`."""
    found: dict[str, Curve] = {}
    scale = (one for one in results.series.values() if one.subject == "scale")
    for one in sorted(scale, key=lambda one: int(one.about["size"])):
        name = str(one.about["series"])
        found.setdefault(name, Curve(name, one.unit, {})).estimates[int(one.about["size"])] = ratios.of_median(
            one.samples
        )
    return list(found.values())


# ----------------------------------------------------------------------------------------------------------- latencies

PERCENTILES = (50, 90, 99, 99.9)


@dataclass(frozen=True, slots=True)
class Latencies:
    """Latencies of interrupts, in seconds."""

    name: str
    values: tuple[float, ...]

    @property
    def percentiles(self) -> dict[float, float]:
        """Percentile → seconds, for each percentile that at least one value is expected to exceed."""
        enough = [percent for percent in PERCENTILES if round(len(self.values) * (100 - percent), 6) >= 100]
        return {percent: float(np.percentile(self.values, percent, method="inverted_cdf")) for percent in enough}


def latencies(results: Results) -> list[Latencies]:
    """Return the latencies on an idle and on a busy machine."""
    found = (results.series.get(f"interrupts::{name}") for name in ("idle", "busy"))
    return [Latencies(one.name.partition("::")[2], one.values) for one in found if one is not None]


def slow_idle(results: Results) -> str:
    """Return why an interrupt takes longer on the idle machine; "" if it does not."""
    medians = {one.name: float(np.median(one.values)) for one in latencies(results)}
    if not medians.keys() >= {"idle", "busy"} or medians["idle"] <= medians["busy"]:
        return ""
    idle, busy = (shown(medians[name], "second") for name in ("idle", "busy"))
    return (
        f"The median is higher on the idle machine, {idle} and not {busy}. A likely reason: an idle CPU sleeps, and "
        "must wake up before it can run the tracer (in a virtual machine, through the hypervisor); a computing process "
        "keeps it awake. On the busy machine the slowest interrupts may wait for a time slice."
    )


# -------------------------------------------------------------------------------------------------------------- counts


@dataclass(frozen=True, slots=True)
class OperationCost:
    """The counts of one operation."""

    name: str
    about: str
    counts: dict[str, int]  #: by field of `kernel_calls.count.Count`


def operations(results: Results) -> list[OperationCost]:
    """Return the counted operations."""
    found: dict[str, OperationCost] = {}
    for one in results.series.values():
        if one.subject == "counted":
            name, _, field = one.name.partition("::")[2].rpartition(".")
            operation = found.setdefault(name, OperationCost(name, str(one.about.get("description", "")), {}))
            operation.counts[field] = round(one.median)
    return list(found.values())


# ------------------------------------------------------------------------------------------------------------ profiles


@dataclass(frozen=True, slots=True)
class ProfileCost:
    """A benchmark under one container profile."""

    name: str  #: the environment's
    each: Estimate  #: seconds
    ratio: Estimate  #: environment ÷ host, within rounds


def profile_costs(results: Results, what: str = "switch::resident_pinned") -> list[ProfileCost]:
    """Return the cost of one benchmark in each environment, the host first."""
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


# --------------------------------------------------------------------------------------------------------------- noise


@dataclass(frozen=True, slots=True)
class SubjectNoise:
    """The noise of one subject's benchmarks."""

    subject: str
    floor: float  #: the noise floor, as a fraction
    rounds: int
    needed: int | None  #: rounds that detect 10 % in the noisiest benchmark; None if no number does


def subject_noise(results: Results) -> list[SubjectNoise]:
    """Return the noise of each timed subject."""
    found = []
    timed = [one for one in results.series.values() if one.unit == "second"]
    for subject in dict.fromkeys(one.subject for one in timed):
        mine = [one for one in timed if one.subject == subject]
        floor = comparison.floor_of(results, subject)
        needed = [noise.rounds_needed(one.samples, max(floor, noise.MIN_EFFECT)) for one in mine]
        most = None if None in needed else max(number for number in needed if number is not None)
        found.append(SubjectNoise(subject, floor, max(len(one.samples) for one in mine), most))
    return found
