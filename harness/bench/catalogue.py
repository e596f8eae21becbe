"""All benchmarks, by name."""

from __future__ import annotations

import importlib
from fnmatch import fnmatchcase
from functools import cache

from worldswitch.harness.bench.benchmark import Benchmark
from worldswitch.harness.nearest import hint

#: In the order of the report.
SUBJECTS = ("limits", "switch", "calls", "memory", "spaces", "lifecycle", "interrupts", "scale")


@cache
def benchmarks() -> dict[str, Benchmark]:
    """Return every benchmark by name, in the subjects' order."""
    modules = (importlib.import_module(f"worldswitch.harness.bench.suite.{name}") for name in SUBJECTS)
    return {one.name: one for module in modules for one in module.SUBJECT.benchmarks}


def select(patterns: tuple[str, ...]) -> list[Benchmark]:
    """Return the benchmarks of these names, subjects or patterns; all if there are none.  Raises LookupError."""
    chosen: dict[str, Benchmark] = {}
    for pattern in patterns or SUBJECTS:
        found = {
            name: one
            for name, one in benchmarks().items()
            if pattern == one.subject or name == pattern or fnmatchcase(name, pattern)
        }
        if not found:
            raise LookupError(
                f"no benchmark is called {pattern!r}{hint(pattern, [*SUBJECTS, *benchmarks()])}; name a subject "
                f"({', '.join(SUBJECTS)}), a benchmark such as switch::resident_pinned, or a pattern such as "
                "'switch::*'"
            )
        chosen |= found
    return [one for name, one in benchmarks().items() if name in chosen]
