"""A run's results: pyperf's JSON, which its own commands read, with what this harness says beside the values.

Each benchmark has a run for each round, in which one process measured it.  All of a round was measured within moments,
so that ratios are made within rounds.  What holds for the whole file is metadata of every run: the machine's
`fingerprint`, the `warnings`, what was `absent` and why, as JSON; `taken` is the
share of its time that a thread lost that only spins.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec

from worldswitch.harness.bench.messages import Measured, NotMeasured
from worldswitch.harness.cell.records import Fingerprint
from worldswitch.harness.results.errors import ResultError

FILE = "bench.json"

#: What of pyperf's metadata is told on.
FACTS = ("date", "hostname", "platform_name", "perf_version")

#: What of a fingerprint must be the same for two files to be compared.
MACHINE = ("kernel", "machine", "cpu", "cpus", "python")


@dataclass(frozen=True)
class Series:
    """One benchmark's values."""

    name: str
    unit: str
    rounds: Mapping[int, tuple[float, ...]]
    about: Mapping[str, Any] = field(default_factory=dict)  #: what else the file says of it

    @cached_property
    def by_round(self) -> dict[int, float]:
        """The median of each round's values, by round: one sample each."""
        return {number: statistics.median(values) for number, values in sorted(self.rounds.items())}

    @property
    def samples(self) -> tuple[float, ...]:
        """The rounds' medians, in the order of time."""
        return tuple(self.by_round.values())

    @property
    def values(self) -> tuple[float, ...]:
        """All values."""
        return tuple(value for _, values in sorted(self.rounds.items()) for value in values)

    @property
    def median(self) -> float:
        """The median of the rounds' medians."""
        return statistics.median(self.samples)

    @property
    def subject(self) -> str:
        """The first half of its name."""
        return self.name.partition("::")[0]


@dataclass(frozen=True)
class Results:
    """One file."""

    path: Path
    fingerprint: Fingerprint
    series: Mapping[str, Series]
    warnings: Sequence[str] = ()
    absent: Mapping[str, str] = field(default_factory=dict)
    taken: float = 0.0  #: of a spinning thread's time, by others
    facts: Mapping[str, Any] = field(default_factory=dict)  #: what else holds for all of it


class ResultsWriter:
    """Collects what workers say, and writes it as a file that pyperf reads."""

    def __init__(self, platform: str) -> None:
        self.absent: dict[str, str] = {}
        self.warnings: list[str] = []
        self.taken = 0.0
        self._platform = platform
        self._runs: dict[str, list[Any]] = {}

    def take(
        self,
        words: Iterable[Measured | NotMeasured],
        number: int,
        about: Mapping[str, Mapping[str, Any]],
        prefix: str = "",
    ) -> None:
        """Take what one process said in a round; `about` is metadata by name, `prefix` goes before names."""
        import pyperf

        collected: dict[str, Any] = {}
        for word in words:
            name = prefix + word.name
            if isinstance(word, NotMeasured):
                self.absent[name] = word.reason
                continue
            own = {"name": name, "loops": word.loops, "round": number, "platform_name": self._platform}
            metadata = {**collected, **about.get(word.name, {}), **own}
            run = pyperf.Run(word.values, word.warmups, metadata=metadata, collect_metadata=not collected)
            collected = collected or {key: run.get_metadata()[key] for key in run.get_metadata() if key not in metadata}
            self._runs.setdefault(name, []).append(run)
            self.absent.pop(name, None)

    def write(self, path: Path, fingerprint: Fingerprint) -> None:
        """Write the file, if anything was measured; raises `ResultError` if nothing was."""
        import pyperf

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
    """Read a file, or the file of a run's folder.  Raises `ResultError`."""
    import pyperf

    file = path / FILE if path.is_dir() else path
    try:
        suite = pyperf.BenchmarkSuite.load(str(file))
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as problem:
        raise ResultError(f"{file}: no benchmark's results: {problem}") from problem
    series = {}
    common: dict[str, Any] = {}
    dates: list[Any] = []
    for benchmark in suite.get_benchmarks():
        common = benchmark.get_metadata()
        series[benchmark.get_name()] = _series(benchmark, common)
        dates += benchmark.get_dates() or ()
    try:
        return _results(file, series, common | {"date": str(min(dates, default=""))})
    except (KeyError, ValueError, msgspec.DecodeError) as problem:
        raise ResultError(f"{file}: measured by something else: its metadata has no right {problem}") from problem


def _results(file: Path, series: Mapping[str, Series], common: Mapping[str, Any]) -> Results:
    return Results(
        file,
        msgspec.json.decode(common["fingerprint"], type=Fingerprint),
        series,
        msgspec.json.decode(common["warnings"], type=list[str]),
        msgspec.json.decode(common["absent"], type=dict[str, str]),
        float(common["taken"]),
        {key: common[key] for key in FACTS if key in common},
    )


def _series(benchmark: Any, about: Mapping[str, Any]) -> Series:
    rounds: dict[int, tuple[float, ...]] = {}
    for run in benchmark.get_runs():
        number = int(run.get_metadata().get("round", len(rounds)))
        rounds[number] = (*rounds.get(number, ()), *run.values)
    return Series(benchmark.get_name(), benchmark.get_unit(), rounds, dict(about))


def differences(one: Fingerprint, other: Fingerprint) -> dict[str, tuple[object, object]]:
    """In what two machines differ as far as numbers depend on it: name, and what each has."""
    pairs = {name: (getattr(one, name), getattr(other, name)) for name in MACHINE}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


class UnlikeMachines(Exception):
    """Two files from machines that are not the same: in what."""

    def __init__(self, differences: Mapping[str, tuple[object, object]]) -> None:
        shown = "; ".join(f"{name}: {one} and {other}" for name, (one, other) in differences.items())
        super().__init__(f"these are from unlike machines ({shown}), whose numbers say nothing about each other")


def check_alike(one: Results, other: Results) -> None:
    """Raises `UnlikeMachines`."""
    if found := differences(one.fingerprint, other.fingerprint):
        raise UnlikeMachines(found)


def join(several: Sequence[Results], *, anyway: bool = False) -> Results:
    """Several files as one, which lies where the first does.  Raises `UnlikeMachines`, unless it is to be done anyway."""
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
