"""Runs each program under a peer and the reference in turn, so that load affects both halves of a pair alike.

The program times itself, so its time excludes the peer's start; the start is a series of its own (`start`).  A peer
that fails is recorded as absent, with the reason.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from worldswitch.harness.bench.messages import Measured
from worldswitch.harness.bench.results_file import ResultsWriter
from worldswitch.harness.environments import guardian
from worldswitch.harness.environments.protocol import Say
from worldswitch.harness.errors import Unobtainable
from worldswitch.harness.peers import peer, peer_list
from worldswitch.harness.peers.peer import Kit, Peer

PROGRAMS = ("getpid", "clock", "compute", "files", "processes")

REPORT_LINE = re.compile(r"worldswitch-program (\d+) (\d+)")
SECONDS = 60.0  #: the deadline of one run
PROBE_SECONDS = 10.0  #: the deadline of the first run, which tests whether a peer works here
FIRST, MOST = 20, 10_000_000  #: rounds of the first calibration run, and the maximum


class PeerFailed(Exception):
    """A program did not run under a peer; the message has the exit status or the output."""


@dataclass(frozen=True, slots=True)
class RunMode:
    """How a peer is run: pinned to one CPU or not."""

    label: str  #: the prefix of results' names
    cpu: int | None = None  #: the CPU to pin everything to; None pins nothing

    def command(self, runner: Peer, path: Path, rounds: int) -> list[str]:
        """The whole command line; as root in a mount namespace of its own, because some peers mount file systems."""
        command = list(runner.command(path, rounds))
        if self.cpu is not None:
            command = ["taskset", "--cpu-list", str(self.cpu), *command]
        if os.geteuid() == 0:
            command = ["unshare", "--mount", "--propagation", "private", "--", *command]
        return command


@dataclass(frozen=True, slots=True)
class TimedRun:
    """One run of one program."""

    rounds: int
    inside: float  #: seconds that the program measured itself
    outside: float  #: seconds from the start of the peer to its end

    @property
    def per_round(self) -> float:
        """Seconds per round."""
        return self.inside / self.rounds


def run(runner: Peer, program: str, rounds: int, mode: RunMode, seconds: float = SECONDS) -> TimedRun:
    """Run a program under a peer once.  Raises `PeerFailed`."""
    begin = time.monotonic()
    command = mode.command(runner, peer.program(program), rounds)
    try:
        output = guardian.run(command, seconds, env={**os.environ, "PYTHONSAFEPATH": "1", **runner.environment})
    except subprocess.CalledProcessError as problem:
        output = str(problem.output)
        if not REPORT_LINE.search(output):
            raise PeerFailed(f"status {problem.returncode}: {guardian.error_lines(problem)}") from problem
    except subprocess.TimeoutExpired:
        raise PeerFailed(f"it did not end within {seconds:g} s") from None
    line = REPORT_LINE.search(output)
    if not line or int(line[1]) != rounds:
        raise PeerFailed(f"the program did not print its time for {rounds} rounds; its output ends {output[-200:]!r}")
    return TimedRun(rounds, int(line[2]) / 1e9, time.monotonic() - begin)


def calibrated_rounds(runner: Peer, program: str, seconds: float, mode: RunMode) -> int:
    """Return how many rounds of a program take about `seconds`.  Raises `PeerFailed`."""
    rounds = FIRST
    while True:
        spent = run(runner, program, rounds, mode).inside
        if spent >= seconds / 4 or rounds >= MOST:
            return max(1, min(MOST, round(rounds * seconds / max(spent, 1e-9))))
        rounds = min(MOST, round(rounds * min(100.0, seconds / max(spent, 1e-9))) + 1)


@dataclass(frozen=True, slots=True)
class RaceEffort:
    """How much is run."""

    rounds: int  #: pairs per peer of the first program
    others: int  #: pairs per peer of each other program
    seconds: float  #: the duration of one run of the first program
    brief: float  #: the duration of one run of another, in seconds
    programs: tuple[str, ...]


QUICK = RaceEffort(rounds=3, others=3, seconds=0.1, brief=0.1, programs=("getpid",))
#: A tracer and its tracee that start on one CPU may stay there for some tenths of a second, at a quarter of their later
#: cost: the first program runs longer than that.
FULL = RaceEffort(rounds=11, others=6, seconds=1.0, brief=0.3, programs=PROGRAMS)


@dataclass
class Race:
    """Runs all peers against the reference."""

    writer: ResultsWriter
    effort: RaceEffort
    modes: Sequence[RunMode]
    kit: Kit
    order: random.Random
    say: Say
    versions: dict[str, str] = field(default_factory=dict)
    _rounds_of: dict[tuple[str, str, str], int] = field(default_factory=dict)

    def go(self, names: Sequence[str] = ()) -> None:
        """Race the peers whose names start with one of `names`, or all; an interruption loses nothing measured."""
        (reference,) = peer_list.reference(self.kit)
        peers, effort = list(self._obtain(names)), self.effort
        for number in range(effort.rounds):
            for mode in self.modes:
                for runner in self.order.sample(peers, len(peers)):
                    for program in effort.programs if number < effort.others else effort.programs[:1]:
                        self._pair(mode, program, reference, runner, number)
            self.say(f"round {number + 1} of {effort.rounds}")

    def _obtain(self, names: Sequence[str]) -> Iterator[Peer]:
        """Yield the peers that can run the simplest program; record the others as absent."""
        for obtain in peer_list.PEERS:
            try:
                yield from filter(self._runs, (runner for runner in obtain(self.kit) if _is_wanted(runner.name, names)))
            except Unobtainable as problem:
                if _is_wanted(obtain.__name__.replace("_", "-"), names):
                    self.writer.absent[f"peers::{obtain.__name__}"] = f"{problem.reason}; {problem.remedy}"

    def _runs(self, runner: Peer) -> bool:
        """True if the peer runs the simplest program; else record the reason."""
        try:
            run(runner, PROGRAMS[0], 1, self.modes[0], PROBE_SECONDS)
        except PeerFailed as problem:
            self.writer.absent[f"peers::{runner.name}"] = str(problem)
            return False
        self.versions[runner.name] = runner.version
        return True

    def _pair(self, mode: RunMode, program: str, reference: Peer, runner: Peer, number: int) -> None:
        """Run the reference, then the peer; in odd rounds the peer first."""
        name = f"{mode.label}::{program}::{runner.name}"
        if runner.programs is not None and program not in runner.programs:
            self.writer.absent[name] = runner.reason
        if name in self.writer.absent:
            return
        pair = [(f"{name}/reference", reference), (name, runner)]
        if reference.programs is not None and program not in reference.programs:
            pair = pair[1:]
        try:
            runs = {title: self._timed(runner, program, mode) for title, runner in (pair, pair[::-1])[number % 2]}
        except PeerFailed as problem:
            self.writer.absent[name] = str(problem)
            return
        for title, timed in runs.items():
            self._record(title, timed.rounds, timed.per_round, number)
        if program == self.effort.programs[0]:
            start = runs[name].outside - runs[name].inside
            self._record(f"{mode.label}::start::{runner.name}", 1, start, number)

    def _timed(self, runner: Peer, program: str, mode: RunMode) -> TimedRun:
        key = mode.label, program, runner.name
        if key not in self._rounds_of:
            seconds = self.effort.seconds if program == self.effort.programs[0] else self.effort.brief
            self._rounds_of[key] = calibrated_rounds(runner, program, seconds, mode)
        return run(runner, program, self._rounds_of[key], mode)

    def _record(self, name: str, loops: int, seconds: float, number: int) -> None:
        version = self.versions.get(name.rpartition("::")[2])
        about = {"version": version} if version else {}
        self.writer.take([Measured(name, loops, (seconds,))], number, {name: about})


def _is_wanted(name: str, names: Sequence[str]) -> bool:
    return not names or any(name.startswith(prefix) for prefix in names)


def modes() -> tuple[RunMode, ...]:
    """The modes available here: unpinned, and on one CPU if taskset is installed."""
    free = RunMode("peers")
    return (free, RunMode("peers_pinned", max(os.sched_getaffinity(0)))) if shutil.which("taskset") else (free,)
