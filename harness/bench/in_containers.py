"""Runs some benchmarks on the host and in containers, one per profile: what a profile costs a switch.

A profile's cost is mostly its seccomp filter, which filters each of the tracer's system calls.  A container runs the
same worker as the host; each round measures every environment once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

from worldswitch.harness.bench import messages
from worldswitch.harness.bench.messages import Message, absent
from worldswitch.harness.environments.host import Host
from worldswitch.harness.environments.plan import plan
from worldswitch.harness.environments.prepared import Plan
from worldswitch.harness.environments.protocol import Cell, EngineChoice, Environment, Missing, Say
from worldswitch.harness.errors import Unobtainable

#: The benchmarks measured there: a system call, the bare round trip, and switches.
NAMES = ("limits::getpid", "limits::sysemu", "switch::resident_pinned", "switch::default_pinned")

#: Seconds until a container is killed.
DEADLINE = 120.0


@runtime_checkable
class RunsCommands(Protocol):
    """An environment that can run any command of its image."""

    def run(self, command: Sequence[str]) -> Cell:
        """Run a command in a new container.  Raises `Unobtainable`."""


#: Takes a worker's command line, runs it on this host, returns its messages.
HostWorker = Callable[[Sequence[str]], list[Message]]


def host_and_containers(engine: EngineChoice, profiles: Sequence[str], say: Say) -> Plan:
    """Plan the host and one container per profile.  Raises `ProfileError`."""
    made = plan(engine, profiles, say=say)
    if not any(isinstance(environment, Host) for environment in made):
        made.environments.insert(0, Host())
    return made


def measure_in(environment: Environment | Missing, arguments: Sequence[str], run_on_host: HostWorker) -> list[Message]:
    """Run a worker with this command line in the environment; returns its messages, `NotMeasured` for any failure."""
    if isinstance(environment, Missing):
        return absent(NAMES, f"{environment.reason}; {environment.remedy}")
    if isinstance(environment, Host):
        return run_on_host(arguments)
    if not isinstance(environment, RunsCommands):
        return absent(NAMES, "this environment can run only scenarios")
    try:
        return _messages_of(environment.run(["python3", "-m", "worldswitch.harness.bench.worker", *arguments]))
    except Unobtainable as problem:
        return absent(NAMES, f"{problem.reason}; {problem.remedy}")


def _messages_of(cell: Cell) -> list[Message]:
    late = threading.Timer(DEADLINE, cell.kill)
    late.start()
    try:
        found = list(messages.read(cell.frames()))
        status = cell.wait(DEADLINE)
    except TimeoutError as problem:
        return absent(NAMES, str(problem))
    finally:
        late.cancel()
        cell.kill()
    reported = {message.name for message in found if not isinstance(message, messages.Disturbance)}
    reason = f"the worker ended ({status}): {cell.log.strip()[-300:]}".rstrip(": ")
    return [*found, *absent((name for name in NAMES if name not in reported), reason)]
