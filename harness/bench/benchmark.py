'''What a benchmark is: a function that returns a timer, and whose docstring says what is timed and what is not.

A file of `worldswitch.harness.bench.suite` is a **subject**.  A decorator registers each of its benchmarks:

    SUBJECT = Subject(__file__)

    @SUBJECT.timed()
    def getpid(bench: Bench) -> Timer:
        """An untraced system call.

        Timed: the call.  Not timed: nothing else is done.
        """
        return lambda loops: native.loop_getpid(loops) / 1e9
'''

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from worldswitch.harness.bench.workbench import Bench, Timer, Unit


@dataclass(frozen=True, slots=True)
class Benchmark:
    """One benchmark of a subject."""

    subject: str
    title: str
    about: str  #: its docstring
    make: Callable[[Bench], Timer]
    unit: Unit = "second"
    loops: int = 0  #: loops per value; 0 means calibrated, so that a value takes the minimum time
    burst: int = 1  #: values taken in succession
    alone: bool = False  #: True if it needs a process of its own
    series: str = ""  #: the function's name, if it makes several benchmarks
    size: int = 0  #: the argument that distinguishes them

    @property
    def name(self) -> str:
        """Its name in results: `subject::title`."""
        return f"{self.subject}::{self.title}"

    @property
    def metadata(self) -> dict[str, str | int]:
        """Its metadata in a file of pyperf's."""
        description = self.about.partition("\n")[0]
        common: dict[str, str | int] = {"unit": self.unit, "description": description, "subject": self.subject}
        return common | ({"series": self.series, "size": self.size} if self.series else {})


class Subject:
    """The benchmarks of one file, in its order."""

    def __init__(self, file: str, **common: Any) -> None:
        """Name the subject after the file; `common` are fields of every `Benchmark` in it."""
        self.name = Path(file).stem
        self.benchmarks: list[Benchmark] = []
        self._common = common

    def timed(self, **options: Any) -> Callable[[Callable[[Bench], Timer]], Callable[[Bench], Timer]]:
        """Register the decorated function as a benchmark; `options` are fields of `Benchmark`."""

        def add(make: Callable[[Bench], Timer]) -> Callable[[Bench], Timer]:
            self.add(make.__name__, inspect.getdoc(make) or "", make, **options)
            return make

        return add

    def series(
        self, sizes: tuple[int, ...], **options: Any
    ) -> Callable[[Callable[[Bench, int], Timer]], Callable[[Bench, int], Timer]]:
        """Register one benchmark per size; the decorated function takes the size."""

        def add(make: Callable[[Bench, int], Timer]) -> Callable[[Bench, int], Timer]:
            name, about = make.__name__, inspect.getdoc(make) or ""
            for size in sizes:

                def of_size(bench: Bench, size: int = size) -> Timer:
                    return make(bench, size)

                self.add(f"{name}[{size}]", about, of_size, series=name, size=size, **options)
            return make

        return add

    def add(self, title: str, about: str, make: Callable[[Bench], Timer], **options: Any) -> None:
        """Register a benchmark; `options` are fields of `Benchmark`."""
        self.benchmarks.append(Benchmark(self.name, title, about, make, **(self._common | options)))
