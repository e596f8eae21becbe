"""Containers of a plain runtime under random filters start, and their calls are answered, as simulated.

Without WORLDSWITCH_FILTERS the filters are the same in each run; with it, that number of filters is drawn anew, as by
`nox -s filters`.
"""

from __future__ import annotations

import inspect
import json
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pytest
import random_filters
import witness
from hypothesis import HealthCheck, Phase, given, settings

from containers import setup as setup
from worldswitch.harness.environments.oci.container import OciSetup
from worldswitch.harness.environments.profiles import profile as profiles
from worldswitch.harness.environments.simulation import library, record
from worldswitch.harness.environments.simulation.effect import FilterEffect
from worldswitch.harness.environments.simulation.filter_simulator import Call, FilterSimulator
from worldswitch.harness.environments.simulation.library import Rejected
from worldswitch.harness.run.syscall_record import container_start
from worldswitch.harness.verdict import Verdict

FIXED = "WORLDSWITCH_FILTERS" not in os.environ
FILTERS = 20 if FIXED else int(os.environ["WORLDSWITCH_FILTERS"])
SIGSYS = 31
WORD = "witness: "

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="containers without a user namespace need root"),
    pytest.mark.skipif(not (shutil.which("runc") or shutil.which("crun")), reason="no runtime is installed"),
    pytest.mark.skipif(library.load() is None, reason="libseccomp is not installed"),
]

#: Runs the witness, and becomes the cell.
PROGRAM = f"""{inspect.getsource(witness).partition("if __name__")[0]}
print("{WORD}" + json.dumps(results(CALLS)), flush=True)
os.execvp("python3", ["python3", "-m", "worldswitch.harness.cell", *sys.argv[1:]])
"""


@dataclass
class Seen:
    """What a container under a filter did."""

    started: bool = False
    results: list[str] = field(default_factory=list)  #: of the witness's calls; empty if it could not run

    def note(self, line: bytes) -> None:
        if line.startswith(WORD.encode()):
            self.results = json.loads(line.removeprefix(WORD.encode()))


def drawn(count: int) -> list[dict[str, Any]]:
    """Return random filters; those that deny by default allow the names of recorded calls."""
    known = record.load("x86_64")
    assert known
    parts = (known.platform, *known.starts.values(), *known.probes.values())
    allowed = sorted({record.parse(key)[0] for part in parts for key in part.calls if "/" not in key})
    found: list[dict[str, Any]] = []

    @settings(
        max_examples=count,
        database=None,
        derandomize=FIXED,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(random_filters.filters(allowed=tuple(allowed)))
    def collect(content: dict[str, Any]) -> None:
        found.append(content)

    collect()
    return found


def observed(setup: OciSetup, content: dict[str, Any]) -> Seen:
    profile = profiles.load(profiles.available()["docker-default"])
    container = container_start.FilteredContainer(setup, profile, content)
    seen = Seen()
    seen.started = container_start.ends(
        container.run(["python3", "-c", PROGRAM, *container_start.ARGUMENTS]), seen.note
    )
    return seen


def differences(content: dict[str, Any], name: str, seen: Seen, unfiltered: Seen) -> Iterator[str]:
    known = record.load("x86_64")
    assert known
    try:
        simulator = FilterSimulator(content, runtime=name)
    except Rejected as problem:
        if seen.started:
            yield f"started, although {problem}"
        return
    effect = FilterEffect(simulator, known, name)
    start = effect.start
    if start.verdict is Verdict.PASS and not seen.started and effect.combines:
        print(f"did not start, though each denial alone is tolerated: {json.dumps(content)[:300]}")
    elif start.verdict is not None and (start.verdict is Verdict.PASS) != seen.started:
        yield f"{'started' if seen.started else 'did not start'}, but predicted: {start}"
    for place, result in enumerate(seen.results):
        expected = answered(simulator, place, unfiltered.results[place])
        if result != expected:
            yield f"{witness.CALLS[place]}: {result}, not {expected}"


def answered(simulator: FilterSimulator, place: int, plain: str) -> str:
    name, number, arguments = witness.CALLS[place]
    architecture = "SCMP_ARCH_X32" if "x32" in name else ""
    words = (*arguments, *[0] * (6 - len(arguments)))
    (answer,) = simulator.answers(Call(name.removesuffix(" of x32"), words, architecture, number))
    if answer.allowed:
        return plain
    return f"signal {SIGSYS}" if answer.kills else f"errno {answer.errno}"


def test_containers_do_under_random_filters_as_simulated(setup: OciSetup) -> None:
    name = setup.runtime.name.partition(" ")[0]
    unfiltered = observed(
        setup, {"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X32"]}
    )
    assert unfiltered.started
    assert len(unfiltered.results) == len(witness.CALLS)
    contents = drawn(FILTERS)
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        every = list(pool.map(lambda content: observed(setup, content), contents))
    print(f"{len(contents)} filters, {sum(one.started for one in every)} started")
    # A filter may kill the interpreter for a call that it makes at times alone: a difference must be there twice.
    wrong = {
        json.dumps(content): found
        for content, seen in zip(contents, every, strict=True)
        if list(differences(content, name, seen, unfiltered))
        and (found := list(differences(content, name, observed(setup, content), unfiltered)))
    }
    assert wrong == {}
    assert any(one.results and one.results != unfiltered.results for one in every)
