"""Some benchmarks in containers, each under a profile, with the host in turn: what a profile costs a switch.

What a profile adds is mostly its seccomp filter, which each of the tracer's system calls goes through.  The same worker
runs in a container of its own; all environments are measured once a round.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

from worldswitch.harness.bench import catalogue, messages
from worldswitch.harness.bench.benchmark import Benchmark
from worldswitch.harness.bench.messages import NotMeasured, Message
from worldswitch.harness.environments.host import Host
from worldswitch.harness.environments.plan import plan
from worldswitch.harness.environments.prepared import Plan
from worldswitch.harness.environments.profiles import profile
from worldswitch.harness.environments.protocol import Cell, EngineChoice, Missing, Say
from worldswitch.harness.errors import Unobtainable

#: What is measured there: a system call, the bare stop, and switches.
NAMES = ("limits::getpid", "limits::sysemu", "switch::resident_pinned", "switch::default_pinned")

#: Seconds for one container, whatever it measures.
DEADLINE = 120.0


@runtime_checkable
class RunsCommands(Protocol):
    """An environment that runs any command of its image."""

    name: str

    def run(self, command: Sequence[str]) -> Cell:
        """Run it in a container of its own.  Raises `Unobtainable`."""


#: Gives a worker's words for its command line, on this host.
HostWorker = Callable[[Sequence[str]], list[Message]]


def benchmarks() -> list[Benchmark]:
    """What is measured there."""
    return [catalogue.benchmarks()[name] for name in NAMES]


def places(engine: EngineChoice, wanted: Sequence[str], say: Say) -> Plan:
    """The host, and a container a profile.  Raises `ProfileError`."""
    made = plan(engine, wanted, say=say)
    if not any(isinstance(place, Host) for place in made):
        made.environments.insert(0, Host())
    return made


def check(wanted: Sequence[str]) -> None:
    """Raises `ProfileError` for a profile that there is not."""
    profile.select(wanted)


def measure_in(place: object, arguments: Sequence[str], run_on_host: HostWorker) -> list[Message]:
    """What a worker with this command line says in that place."""
    if isinstance(place, Missing):
        return _absent(f"{place.reason}; {place.remedy}")
    if isinstance(place, Host):
        return run_on_host(arguments)
    if not isinstance(place, RunsCommands):
        return _absent("this environment runs nothing but scenarios")
    try:
        return _said(place.run(["python3", "-m", "worldswitch.harness.bench.worker", *arguments]))
    except Unobtainable as problem:
        return _absent(f"{problem.reason}; {problem.remedy}")


def _said(cell: Cell) -> list[Message]:
    late = threading.Timer(DEADLINE, cell.kill)
    late.start()
    try:
        found = list(messages.read(cell.frames()))
        status = cell.wait(DEADLINE)
    except TimeoutError as problem:
        return _absent(str(problem))
    finally:
        late.cancel()
        cell.kill()
    said = {word.name for word in found if not isinstance(word, messages.Disturbance)}
    reason = f"the worker ended ({status}): {cell.log.strip()[-300:]}".rstrip(": ")
    return [*found, *(NotMeasured(name, reason) for name in NAMES if name not in said)]


def _absent(reason: str) -> list[Message]:
    return [NotMeasured(name, reason) for name in NAMES]
