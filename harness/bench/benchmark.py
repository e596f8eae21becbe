'''What a benchmark is: a function that makes a timer, and whose docstring says what is timed and what is not.

A file of `worldswitch.harness.bench.suite` is a **subject**.  It lists its benchmarks by decorating them:

    SUBJECT = Subject(__file__)

    @SUBJECT.timed()
    def getpid(bench: Bench) -> Timer:
        """A system call that nobody traces.

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
    """One thing that is measured."""

    subject: str
    title: str
    about: str  #: its docstring
    make: Callable[[Bench], Timer]
    unit: Unit = "second"
    loops: int = 0  #: loops for one value; 0: as many as take long enough to be timed
    burst: int = 1  #: values that are taken one after the other
    alone: bool = False  #: whether it needs a process for itself
    series: str = ""  #: the function, where one makes several benchmarks
    size: int = 0  #: and the number that tells them apart

    @property
    def name(self) -> str:
        """As results name it."""
        return f"{self.subject}::{self.title}"


class Subject:
    """The benchmarks of one file, in its order.  `loops`, `burst`, `alone` hold for all of them."""

    def __init__(self, file: str, **common: Any) -> None:
        self.name = Path(file).stem
        self.benchmarks: list[Benchmark] = []
        self._common = common

    def timed(self, **options: Any) -> Callable[[Callable[[Bench], Timer]], Callable[[Bench], Timer]]:
        """Make the function a benchmark; `options` are fields of `Benchmark`."""

        def add(make: Callable[[Bench], Timer]) -> Callable[[Bench], Timer]:
            self._add(make.__name__, make, make, options)
            return make

        return add

    def series(
        self, sizes: tuple[int, ...], **options: Any
    ) -> Callable[[Callable[[Bench, int], Timer]], Callable[[Bench, int], Timer]]:
        """Make the function a benchmark for each of the sizes, which it is called with."""

        def add(make: Callable[[Bench, int], Timer]) -> Callable[[Bench, int], Timer]:
            for size in sizes:
                own = options | {"series": make.__name__, "size": size}
                self._add(f"{make.__name__}[{size}]", make, _of_size(make, size), own)
            return make

        return add

    def _add(self, title: str, documented: Any, make: Callable[[Bench], Timer], options: dict[str, Any]) -> None:
        about = inspect.getdoc(documented) or ""
        self.benchmarks.append(Benchmark(self.name, title, about, make, **(self._common | options)))


def _of_size(make: Callable[[Bench, int], Timer], size: int) -> Callable[[Bench], Timer]:
    return lambda bench: make(bench, size)
