"""The kernel's behaviour: the observations of the scenarios' experiments.

The experiments trace, kill and orphan processes.  They run one after another in a supervised process that writes each
observation at once; if it dies, another continues after the fatal experiment.  They share one deadline.
"""

from __future__ import annotations

import argparse
import hashlib
import mmap
import os
import struct
import sys
import time
from collections.abc import Collection, Mapping
from contextlib import closing

import msgspec

from worldswitch.harness.catalogue import scenarios
from worldswitch.harness.cell import frames
from worldswitch.harness.cell.probes.needs import unmet
from worldswitch.harness.cell.supervisor import Ending, supervise
from worldswitch.harness.linux import processes

#: The deadline for all; an idle machine takes one second, a busy one a few.
SECONDS = 30.0

_NOT = "not observed: "


class Observed(msgspec.Struct, frozen=True, omit_defaults=True):
    """Facts, by their scenarios' names."""

    facts: dict[str, str]
    where: str = ""  #: the place of observation, unless this one


class _Line(msgspec.Struct, array_like=True):
    """One line of the notes: an experiment that is planned, that begins, or its observation."""

    name: str
    observation: str | None = None
    planned: bool = False


def observe(package: str, seconds: float = SECONDS, only: Collection[str] | None = None) -> dict[str, str]:
    """Return the observation of each fact of `package`, or the reason for none, by the scenario's name.

    With `only`, facts of other names are left out.  Returns no facts where /proc does not show the processes that the
    experiments leave.
    """
    if (only is not None and not only) or processes.proc_problem():
        return {}
    end = time.monotonic() + seconds
    planned: dict[str, str] = {}
    found: dict[str, str] = {}
    with closing(_Notes()) as notes:
        while True:
            ending = supervise(lambda: _observe(package, only, found, notes), max(0.1, end - time.monotonic()))
            before = len(found)
            for line in notes.read():
                if line.planned:
                    planned[line.name] = f"{_NOT}no time was left"
                else:
                    found[line.name] = line.observation or f"{_NOT}{_how(ending)}"
            if ending.payload is not None or ending.late or len(found) == before:
                return planned | found


def digest(facts: Mapping[str, str]) -> str:
    """Return a short digest of the facts; equal digests mean equal behaviour."""
    text = "\n".join(f"{name}: {observation}" for name, observation in sorted(facts.items()))
    return hashlib.sha256(text.encode()).hexdigest()[:12] if facts else ""


class _Notes:
    """Lines in shared memory, which survives the process that writes them; a filter may deny memfd_create(2)."""

    ROOM = 1 << 20  #: far more than all facts need
    LENGTH = struct.Struct("=Q")  #: the beginning: how much is written

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, self.ROOM)
        self._read = self.LENGTH.size
        self.LENGTH.pack_into(self._memory, 0, self._read)

    def write(self, line: _Line) -> None:
        text = msgspec.json.encode(line) + b"\n"
        (begin,) = self.LENGTH.unpack_from(self._memory)
        self._memory[begin : begin + len(text)] = text
        self.LENGTH.pack_into(self._memory, 0, begin + len(text))

    def read(self) -> list[_Line]:
        """The lines since the last call."""
        (end,) = self.LENGTH.unpack_from(self._memory)
        new, self._read = self._memory[self._read : end], end
        return [msgspec.json.decode(line, type=_Line) for line in new.splitlines()]

    def close(self) -> None:
        self._memory.close()


def _observe(package: str, only: Collection[str] | None, found: Mapping[str, str], notes: _Notes) -> bytes:
    wanted = [fact for fact in scenarios.facts(package) if only is None or fact.scenario.name in only]
    facts = [fact for fact in wanted if fact.scenario.name not in found]
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
    ended = processes.how_ended(ending.status or 0)
    return f"its process was {ended}" if ended.startswith("killed") else f"its process {ended}"


def main() -> int:
    """Observe all facts and print them in a frame."""
    parser = argparse.ArgumentParser(prog="python -m worldswitch.harness.cell.probes.kernel_facts", description=__doc__)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="the deadline for all (default: %(default)s)")
    parser.add_argument("--where", default="", help="the name of this place in results")
    asked = parser.parse_args()
    stream = os.dup(1)  # experiments' programs do not inherit it
    os.dup2(2, 1)
    found = Observed(observe(scenarios.SCENARIOS, asked.seconds), asked.where)
    with open(stream, "wb") as out:
        out.write(frames.encode(msgspec.json.encode(found)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
