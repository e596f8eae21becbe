"""Splits a matrix into shards, for several machines: each cell is in one shard, the same on every machine.

The split depends only on the cells and on the packaged baseline, from which the work of a cell is known: the scenarios
that ran there, and were not merely found to be blocked.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from worldswitch.harness.cell_name import CellName
from worldswitch.harness.environments.kernels import image
from worldswitch.harness.environments.profiles import profile as profiles
from worldswitch.harness.errors import CouldNotRun, Unobtainable
from worldswitch.harness.results.baseline import file_format, read
from worldswitch.harness.run.request import Request
from worldswitch.harness.verdict import Verdict

PACKAGED = Path(__file__).parents[2] / "results" / "baseline"

START = 60  #: trials that take as long as the start of a cell
UNKNOWN = 400  #: trials that a cell is taken to run if the baseline does not have it

SKIPPED = (Verdict.BLOCKED, Verdict.UNSUPPORTED, Verdict.MISS)


def parse(text: str) -> tuple[int, int]:
    """Return the number of a shard and of all shards, from `2/5`.  Raises ValueError."""
    number, slash, all_of_them = text.partition("/")
    if not (slash and number.isdecimal() and all_of_them.isdecimal() and 1 <= int(number) <= int(all_of_them)):
        raise ValueError(f"expected K/N with 1 ≤ K ≤ N, as in 2/5, got {text!r}")
    return int(number), int(all_of_them)


def cells(request: Request) -> list[str]:
    """Return the names of the cells of a matrix; nothing is fetched or started.  Raises `CouldNotRun`."""
    chosen = [profile.name for profile in profiles.select(request.profiles)]
    places = [f"{_environment(kernel)}:{name}" for kernel in request.kernels for name in chosen]
    return list(dict.fromkeys(str(CellName(place, platform)) for place in places for platform in request.platforms))


def jobs(request: Request) -> list[tuple[str, list[str]]]:
    """Return each cell's name, and the options that select its kernel and profile."""
    # A profile's name, or the file that the request names for it.
    given = {profile.name: str(path) for path in profiles.files(request.profiles) for profile in [profiles.load(path)]}
    names = {name: name if name in profiles.available() else path for name, path in given.items()}
    chosen = [profile.name for profile in profiles.select(request.profiles)]
    pairs = [(kernel, name) for kernel in request.kernels for name in chosen]
    return [
        (f"{_environment(kernel)}:{name}", ["--kernel", kernel, "--profile", names[name]]) for kernel, name in pairs
    ]


def shard(request: Request, text: str) -> Request:
    """Return the request of one shard of a matrix; a shard without cells is refused.  Raises `CouldNotRun`."""
    number, parts = parse(text)
    whole = cells(request)
    own = split(whole, parts)[number - 1]
    if not own:
        raise CouldNotRun(f"--shard {text}: the matrix has {len(whole)} cells, so this shard would be empty")
    environments = {name.partition(":")[0] for name in own}
    kernels = tuple(kernel for kernel in request.kernels if _environment(kernel) in environments)
    return replace(request, kernels=kernels, cells=tuple(own), shard=text, whole=tuple(whole))


def split(whole: Sequence[str], parts: int) -> list[list[str]]:
    """Return the cells of each shard: the largest cell goes first, to the shard that has least to do."""
    shards: list[list[str]] = [[] for _ in range(parts)]
    loads = [0] * parts
    for name in sorted(whole, key=lambda name: (-work(name), name)):
        least = loads.index(min(loads))
        shards[least].append(name)
        loads[least] += work(name)
    return [[name for name in whole if name in own] for own in shards]


def work(cell: str) -> int:
    """Return how much work a cell is, in trials."""
    return START + _trials().get(cell, UNKNOWN)


@functools.cache
def _trials() -> Mapping[str, int]:
    if not (PACKAGED / file_format.FILE).exists():
        return {}
    return {str(cell.name): _ran(one.trial.verdict for one in cell.judged) for cell in read.load(PACKAGED).cells}


def _ran(verdicts: Iterable[Verdict]) -> int:
    return sum(verdict not in SKIPPED for verdict in verdicts)


@functools.cache
def _environment(kernel: str) -> str:
    """The environment of a kernel without a container."""
    path = Path(kernel)
    if not path.is_file():
        return image.environment_of(kernel)
    try:
        return image.from_file(path).environment
    except Unobtainable as problem:
        raise CouldNotRun(str(problem)) from problem
