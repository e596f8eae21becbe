"""Peer and reference in turn: what a program takes under each, and the ratio of what ran within moments of each other.

The program tells its own time, so a peer's start counts for nothing; that is a row of its own.  A peer that fails is a
row with the reason.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from worldswitch.harness.bench.messages import Measured
from worldswitch.harness.bench.results_file import ResultsWriter
from worldswitch.harness.environments import guardian
from worldswitch.harness.environments.protocol import Say
from worldswitch.harness.errors import Unobtainable
from worldswitch.harness.peers import peer, peer_list
from worldswitch.harness.peers.peer import Kit, Ready

PROGRAMS = ("getpid", "clock", "compute", "files", "processes")

TOLD = re.compile(r"worldswitch-program (\d+) (\d+)")
SECONDS = 60.0  #: for one run, whatever happens
TRIAL_SECONDS = 10.0  #: for the first, which shows whether a peer runs here at all
FIRST, MOST = 20, 10_000_000  #: rounds to begin finding out with, and at the most


class Failed(Exception):
    """A program did not run under a peer: what was seen."""


@dataclass(frozen=True, slots=True)
class Manner:
    """How the runs are made."""

    label: str  #: the first half of the names of results
    cpu: int | None = None  #: everything on this one, or where it wants to be

    def command(self, ready: Ready, path: Path, rounds: int) -> list[str]:
        """The whole command: in a mount namespace of its own where this user may have one, since some mount things."""
        words = list(ready.command(path, rounds))
        if self.cpu is not None:
            words = ["taskset", "--cpu-list", str(self.cpu), *words]
        if os.geteuid() == 0:
            words = ["unshare", "--mount", "--propagation", "private", "--", *words]
        return words


@dataclass(frozen=True, slots=True)
class Lap:
    """One run of one program."""

    rounds: int
    inside: float  #: seconds, as the program tells them
    outside: float  #: seconds from its being started to its end

    @property
    def each(self) -> float:
        """Seconds a round."""
        return self.inside / self.rounds


def run(ready: Ready, program: str, rounds: int, manner: Manner, seconds: float = SECONDS) -> Lap:
    """Run a program under a peer once.  Raises `Failed`."""
    begin = time.monotonic()
    command = manner.command(ready, peer.program(program), rounds)
    try:
        output = guardian.run(command, seconds, env={**os.environ, "PYTHONSAFEPATH": "1", **ready.environment})
    except subprocess.CalledProcessError as problem:
        output = str(problem.output)
        if not TOLD.search(output):
            raise Failed(f"status {problem.returncode}: {guardian.error_lines(problem)}") from problem
    except subprocess.TimeoutExpired:
        raise Failed(f"it did not end within {seconds:g} s") from None
    said = TOLD.search(output)
    if not said or int(said[1]) != rounds:
        raise Failed(f"the program did not tell its time; what came was {output[-200:]!r}")
    return Lap(rounds, int(said[2]) / 1e9, time.monotonic() - begin)


def enough(ready: Ready, program: str, seconds: float, manner: Manner) -> int:
    """How many rounds take about so long.  Raises `Failed`."""
    rounds = FIRST
    while True:
        spent = run(ready, program, rounds, manner).inside
        if spent >= seconds / 4 or rounds >= MOST:
            return max(1, min(MOST, round(rounds * seconds / max(spent, 1e-9))))
        rounds = min(MOST, round(rounds * min(100.0, seconds / max(spent, 1e-9))) + 1)


@dataclass
class Race:
    """All peers against the reference."""

    recorder: ResultsWriter
    rounds: int  #: pairs for each peer with the first program
    others: int  #: the same with each other program
    seconds: float  #: what one run of the first program should take
    brief: float  #: the same of another
    programs: Sequence[str]
    manners: Sequence[Manner]
    kit: Kit
    order: random.Random
    say: Say
    versions: dict[str, str] = field(default_factory=dict)
    _enough: dict[tuple[str, str, str], int] = field(default_factory=dict)

    def go(self, names: Sequence[str] = ()) -> None:
        """Run it; what was measured before an interruption stays."""
        (own,) = peer_list.reference(self.kit)
        ready = list(self._obtain(names))
        for number in range(self.rounds):
            for manner in self.manners:
                for one in self.order.sample(ready, len(ready)):
                    for program in self.programs if number < self.others else self.programs[:1]:
                        self._pair(manner, program, own, one, number)
            self.say(f"round {number + 1} of {self.rounds}")

    def _obtain(self, names: Sequence[str]) -> Iterator[Ready]:
        """The peers that are there and run the simplest program."""
        for obtain in peer_list.PEERS:
            try:
                yield from filter(self._runs, (one for one in obtain(self.kit) if _is_wanted(one.name, names)))
            except Unobtainable as problem:
                if _is_wanted(obtain.__name__.replace("_", "-"), names):
                    self.recorder.absent[f"peers::{obtain.__name__}"] = f"{problem.reason}; {problem.remedy}"

    def _runs(self, one: Ready) -> bool:
        """Whether it runs the simplest program here; if not, that is its row."""
        try:
            run(one, PROGRAMS[0], 1, self.manners[0], TRIAL_SECONDS)
        except Failed as problem:
            self.recorder.absent[f"peers::{one.name}"] = str(problem)
            return False
        self.versions[one.name] = one.version
        return True

    def _pair(self, manner: Manner, program: str, own: Ready, one: Ready, number: int) -> None:
        """The reference, then the peer; in half of the rounds the other way round."""
        name = f"{manner.label}::{program}::{one.name}"
        if one.programs is not None and program not in one.programs:
            self.recorder.absent[name] = one.reason
        if name in self.recorder.absent:
            return
        pair = [(f"{name}/reference", own), (name, one)]
        if own.programs is not None and program not in own.programs:
            pair = pair[1:]
        try:
            laps = {title: self._lap(ready, program, manner) for title, ready in (pair, pair[::-1])[number % 2]}
        except Failed as problem:
            self.recorder.absent[name] = str(problem)
            return
        self._take(laps, number)
        if program == self.programs[0]:
            start = laps[name].outside - laps[name].inside
            self._record(f"{manner.label}::start::{one.name}", 1, start, number)

    def _lap(self, ready: Ready, program: str, manner: Manner) -> Lap:
        key = manner.label, program, ready.name
        if key not in self._enough:
            seconds = self.seconds if program == self.programs[0] else self.brief
            self._enough[key] = enough(ready, program, seconds, manner)
        return run(ready, program, self._enough[key], manner)

    def _take(self, laps: Mapping[str, Lap], number: int) -> None:
        for title, lap in laps.items():
            self._record(title, lap.rounds, lap.each, number)

    def _record(self, name: str, loops: int, seconds: float, number: int) -> None:
        version = self.versions.get(name.rpartition("::")[2])
        about = {"version": version} if version else {}
        self.recorder.take([Measured(name, loops, (seconds,))], number, {name: about})


def _is_wanted(name: str, names: Sequence[str]) -> bool:
    return not names or any(name.startswith(one) for one in names)


def manners() -> tuple[Manner, ...]:
    """As users run it, and with everything on one CPU where that can be had."""
    free = Manner("peers")
    return (free, Manner("peers_pinned", max(os.sched_getaffinity(0)))) if shutil.which("taskset") else (free,)
