"""How this kernel behaves: what each fact that the scenarios know an experiment for shows here.

The experiments trace, kill and orphan processes.  They run one after the other in one supervised process, which writes
each observation down as it is made; if it dies of one, another goes on behind it.  All the time there is goes to all.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
import time
from collections.abc import Mapping
from contextlib import closing

import msgspec

from worldswitch.harness.catalogue import scenarios
from worldswitch.harness.cell import frames
from worldswitch.harness.cell.probes.needs import unmet
from worldswitch.harness.cell.supervisor import Ending, supervise
from worldswitch.harness.linux import processes

#: For all of them: a quiet machine needs one, a busy one some, and one where each waits in vain gets no more.
SECONDS = 30.0

_NOT = "not observed: "


class Observed(msgspec.Struct, frozen=True, omit_defaults=True):
    """Facts, by their scenarios' names."""

    facts: dict[str, str]
    where: str = ""  #: they were observed, if not here


class _Line(msgspec.Struct, array_like=True):
    """One line of what is written down: an experiment that is planned, one that begins, or its observation."""

    name: str
    observation: str | None = None
    planned: bool = False


def observe(package: str, seconds: float = SECONDS) -> dict[str, str]:
    """Each fact of `package` by its scenario's name: what was observed, or why nothing was."""
    end = time.monotonic() + seconds
    planned: dict[str, str] = {}
    found: dict[str, str] = {}
    with closing(_Notes()) as notes:
        while True:
            ending = supervise(lambda: _observe(package, found, notes), max(0.1, end - time.monotonic()))
            before = len(found)
            for line in notes.read():
                if line.planned:
                    planned[line.name] = f"{_NOT}no time was left"
                else:
                    found[line.name] = line.observation or f"{_NOT}{_how(ending)}"
            if ending.payload is not None or ending.late or len(found) == before:
                return planned | found


def digest(facts: Mapping[str, str]) -> str:
    """A short name for a kernel that behaves so; the same names are the same behaviour."""
    text = "\n".join(f"{name}: {observation}" for name, observation in sorted(facts.items()))
    return hashlib.sha256(text.encode()).hexdigest()[:12] if facts else ""


def unobserved(facts: Mapping[str, str]) -> list[str]:
    """The facts that nothing was observed of."""
    return [name for name, observation in facts.items() if observation.startswith(_NOT)]


class _Notes:
    """A file in memory that survives the process that writes it."""

    def __init__(self) -> None:
        self._fd = os.memfd_create("worldswitch-facts")
        self._read = 0

    def write(self, line: _Line) -> None:
        os.write(self._fd, msgspec.json.encode(line) + b"\n")

    def read(self) -> list[_Line]:
        """What was written since the last time."""
        new = os.pread(self._fd, os.fstat(self._fd).st_size - self._read, self._read)
        self._read += len(new)
        return [msgspec.json.decode(line, type=_Line) for line in new.splitlines()]

    def close(self) -> None:
        os.close(self._fd)


def _observe(package: str, found: Mapping[str, str], notes: _Notes) -> bytes:
    facts = [fact for fact in scenarios.facts(package) if fact.scenario.name not in found]
    for fact in facts:
        notes.write(_Line(fact.scenario.name, planned=True))
    for fact in facts:
        lacking = unmet(fact.scenario.needs)
        notes.write(_Line(fact.scenario.name))
        notes.write(_Line(fact.scenario.name, f"{_NOT}{lacking.reason}" if lacking else fact.observe()))
    return b""


def _how(ending: Ending) -> str:
    if ending.late:
        return "no answer in time"
    said = processes.how_ended(ending.status or 0)
    return f"its process was {said}" if said.startswith("killed") else f"its process {said}"


def main() -> int:
    """Observe all there is, and print it in a frame."""
    asked = argparse.ArgumentParser(prog="python -m worldswitch.harness.cell.probes.kernel_facts", description=__doc__)
    asked.add_argument("--seconds", type=float, default=SECONDS, help="how long that may take (default: %(default)s)")
    asked.add_argument("--where", default="", help="how results are to call this place")
    said = asked.parse_args()
    stream = os.dup(1)  # not inherited by what experiments execute
    os.dup2(2, 1)
    found = Observed(observe(scenarios.SCENARIOS, said.seconds), said.where)
    with open(stream, "wb") as out:
        out.write(frames.encode(msgspec.json.encode(found)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
