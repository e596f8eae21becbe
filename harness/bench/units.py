"""Formats values with units, and orders series for display."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from worldswitch.harness.bench import catalogue
from worldswitch.harness.bench.results_file import Results, Series

#: Per unit, the smallest value of each step and the step's name.
STEPS = {
    "second": ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns")),
    "byte": ((1 << 20, "MiB"), (1 << 10, "KiB"), (1, "B")),
    "integer": ((1, ""),),
}


def in_order(results: Results) -> Iterator[Series]:
    """Yield the series in the catalogue's order, unknown ones last."""
    known = [name for name in catalogue.benchmarks() if name in results.series]
    yield from (results.series[name] for name in known)
    yield from (one for name, one in results.series.items() if name not in catalogue.benchmarks())


def summary(one: Series) -> dict[str, str]:
    """Return a series' name, median, quartiles, number of rounds and description, as text."""
    low, high = map(float, np.quantile(one.samples, (0.25, 0.75)))
    return {
        "name": one.name,
        "median": shown(one.median, one.unit),
        "quartiles": f"{shown(low, one.unit)} .. {shown(high, one.unit)}",
        "rounds": str(len(one.samples)),
        "about": str(one.about.get("description", "")),
    }


def shown(value: float, unit: str) -> str:
    """Return a value with its unit, to three significant digits."""
    step, name = next((one for one in STEPS[unit] if abs(value) >= one[0]), STEPS[unit][-1])
    number = value / step
    text = f"{number:.0f}" if unit == "integer" or abs(number) >= 999.5 else f"{number:#.3g}".rstrip(".")
    return f"{text} {name}".rstrip()
