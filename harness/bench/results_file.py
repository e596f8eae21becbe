"""A run's results: a file of pyperf's JSON, which pyperf's commands can read, with metadata of this harness.

Each benchmark has one pyperf run per round, in which one process measured it.  A round is short, so ratios are made
within rounds.  Metadata of the whole file is repeated in every run: the machine's `fingerprint`, the `warnings` and the
`absent` benchmarks with the reasons, as JSON; and `taken`, the CPU time stolen from a busy-loop thread, as a fraction.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import msgspec
import pyperf
from msgspec import Meta

from worldswitch.harness import decoding
from worldswitch.harness.bench.messages import Measured, NotMeasured
from worldswitch.harness.cell.records import Fingerprint
from worldswitch.harness.linux import regular_file
from worldswitch.harness.results.errors import ResultError

FILE = "bench.json"
MOST_BYTES = 64 << 20
MOST_VALUE = 1e15  #: of a benchmark, in its unit; sums of values stay finite

#: What pyperf raises for JSON that is not of its format.
_NO_SUITE = (ValueError, ArithmeticError, LookupError, AttributeError, TypeError)

Fraction: TypeAlias = Annotated[float, Meta(ge=0, le=1)]

#: The keys of pyperf's metadata that `Results.facts` has, besides `date`.
FACTS = ("hostname", "platform_name", "perf_version")

#: The fields of a fingerprint that must be equal in two files to compare them.
MACHINE = ("kernel", "machine", "cpu", "cpus", "python")


@dataclass(frozen=True)
class Series:
    """One benchmark's values, in its unit, by round."""

    name: str
    unit: str
    rounds: Mapping[int, tuple[float, ...]]
    about: Mapping[str, Any] = field(default_factory=dict)  #: its metadata

    @cached_property
    def by_round(self) -> dict[int, float]:
        """The median of each round's values: round → sample."""
        return {number: statistics.median(values) for number, values in sorted(self.rounds.items())}

    @property
    def samples(self) -> tuple[float, ...]:
        """The rounds' medians, in chronological order."""
        return tuple(self.by_round.values())

    @property
    def values(self) -> tuple[float, ...]:
        """All values, in chronological order."""
        return tuple(value for _, values in sorted(self.rounds.items()) for value in values)

    @property
    def median(self) -> float:
        """The median of the rounds' medians."""
        return statistics.median(self.samples)

    @property
    def subject(self) -> str:
        """The part of its name before `::`."""
        return self.name.partition("::")[0]


@dataclass(frozen=True)
class Results:
    """The contents of one file."""

    path: Path
    fingerprint: Fingerprint
    series: Mapping[str, Series]  #: by name
    warnings: Sequence[str] = ()
    absent: Mapping[str, str] = field(default_factory=dict)  #: benchmarks not measured: name → reason
    taken: float = 0.0  #: CPU time stolen from a busy-loop thread, as a fraction
    facts: Mapping[str, Any] = field(default_factory=dict)  #: pyperf's metadata of the whole file


class ResultsWriter:
    """Collects workers' messages, and writes them as a file that pyperf can read."""

    def __init__(self, platform: str) -> None:
        self.absent: dict[str, str] = {}
        self.warnings: list[str] = []
        self.taken = 0.0
        self._platform = platform
        self._runs: dict[str, list[Any]] = {}

    def take(
        self,
        found: Iterable[Measured | NotMeasured],
        number: int,
        about: Mapping[str, Mapping[str, Any]],
        prefix: str = "",
    ) -> None:
        """Add one process's messages of round `number`; `about` is metadata by name, `prefix` is prepended to names."""
        collected: dict[str, Any] = {}
        for message in found:
            name = prefix + message.name
            if isinstance(message, NotMeasured):
                self.absent[name] = message.reason
                continue
            own = {"name": name, "loops": message.loops, "round": number, "platform_name": self._platform}
            metadata = {**collected, **about.get(message.name, {}), **own}
            run = pyperf.Run(message.values, message.warmups, metadata=metadata, collect_metadata=not collected)
            collected = collected or {key: run.get_metadata()[key] for key in run.get_metadata() if key not in metadata}
            self._runs.setdefault(name, []).append(run)
            self.absent.pop(name, None)

    def write(self, path: Path, fingerprint: Fingerprint) -> None:
        """Write the file.  Raises `ResultError` if nothing was measured."""
        if not self._runs:
            raise ResultError(f"{path}: nothing was measured")
        common = {
            "fingerprint": msgspec.json.encode(fingerprint).decode(),
            "warnings": msgspec.json.encode(self.warnings).decode(),
            "absent": msgspec.json.encode(self.absent).decode(),
            "taken": f"{self.taken:.6f}",
        }
        made = [pyperf.Benchmark(runs) for runs in self._runs.values()]
        for benchmark in made:
            benchmark.update_metadata(common)
        pyperf.BenchmarkSuite(made).dump(str(path), compact=True, replace=True)


def read(path: Path) -> Results:
    """Read a file, or the one in a run's folder.  Raises `ResultError`."""
    file = path / FILE if path.is_dir() else path
    try:
        content = regular_file.read(file, MOST_BYTES)
        suite = pyperf.BenchmarkSuite.loads(content.decode())
        named = {benchmark.get_name(): benchmark for benchmark in suite.get_benchmarks()}
        series = {name: _series(benchmark, benchmark.get_metadata()) for name, benchmark in named.items()}
        dates = [date for benchmark in named.values() for date in benchmark.get_dates() or ()]
    except OSError as problem:
        raise ResultError(f"{file}: cannot be read: {problem.strerror}") from problem
    except RecursionError:
        raise ResultError(f"{file}: not a file of benchmark results: nested too deeply") from None
    except _NO_SUITE as problem:
        raise ResultError(f"{file}: not a file of benchmark results: {problem}") from problem
    common = next(reversed(series.values())).about
    try:
        return Results(
            file,
            decoding.from_json(common["fingerprint"], Fingerprint),
            series,
            decoding.from_json(common["warnings"], list[str]),
            decoding.from_json(common["absent"], dict[str, str]),
            decoding.from_json(common["taken"], Fraction),
            {"date": str(min(dates, default=""))} | {key: common[key] for key in FACTS if key in common},
        )
    except (KeyError, TypeError, msgspec.DecodeError) as problem:
        raise ResultError(f"{file}: not written by worldswitch: missing or invalid metadata: {problem}") from problem


def _series(benchmark: Any, about: Mapping[str, Any]) -> Series:
    rounds: dict[int, tuple[float, ...]] = {}
    for run in benchmark.get_runs():
        number = int(run.get_metadata().get("round", len(rounds)))
        rounds[number] = (*rounds.get(number, ()), *run.values)
        if not all(0 < value <= MOST_VALUE for value in run.values):
            raise ValueError(f"{benchmark.get_name()}: a value is not between 0 and {MOST_VALUE:g}")
    return Series(benchmark.get_name(), benchmark.get_unit(), rounds, dict(about))


class UnlikeMachines(Exception):
    """Two files are from different machines; the message has the differences."""


def check_alike(one: Results, other: Results) -> None:
    """Raise `UnlikeMachines` if two files are from different machines."""
    pairs = {name: (getattr(one.fingerprint, name), getattr(other.fingerprint, name)) for name in MACHINE}
    shown = "; ".join(f"{name}: {here} and {there}" for name, (here, there) in pairs.items() if here != there)
    if shown:
        raise UnlikeMachines(f"these runs are from unlike machines ({shown}), so their numbers cannot be compared")


def join(several: Sequence[Results], *, anyway: bool = False) -> Results:
    """Merge several files; the first one's path and values win.  Raises `UnlikeMachines` unless `anyway`."""
    first, *others = several
    for other in others:
        if not anyway:
            check_alike(first, other)
    series = {name: one for results in reversed(several) for name, one in results.series.items()}
    return replace(
        first,
        series=series,
        warnings=list(dict.fromkeys(line for results in several for line in results.warnings)),
        absent={name: why for results in several for name, why in results.absent.items()},
        taken=max(results.taken for results in several),
    )
