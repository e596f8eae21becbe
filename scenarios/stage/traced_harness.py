"""A traced harness: its stubs are held at their creation, its tracing thread at each system call.

An outsider cannot hit the window between a fork and the platform's first trace of the child, or between two requests
of a tracing thread.  A tracer of the harness can: it holds one thread there, does the damage and lets the thread go.
The harness is a forked child (`children`); all ptrace requests come from the thread that made the `TracedHarness`.
"""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from worldswitch.harness.arch import registers
from worldswitch.harness.verdict import in_time
from worldswitch.scenarios.stage import children
from worldswitch.scenarios.stage.children import Child, Line, Work
from worldswitch.scenarios.stage.processes import process_state, threads_of
from worldswitch.scenarios.stage.stage import Stage
from worldswitch.scenarios.stage.tracers import PTRACE_CONT, PTRACE_SEIZE, WALL, seize

libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)
libc.ptrace.restype = ctypes.c_long

PTRACE_POKEUSER, PTRACE_DETACH, PTRACE_SYSCALL, PTRACE_GETEVENTMSG, PTRACE_INTERRUPT = (
    6,
    17,
    24,
    0x4201,
    0x4207,
)  # <linux/ptrace.h>
PTRACE_EVENT_FORK, PTRACE_EVENT_VFORK, PTRACE_EVENT_CLONE = 1, 2, 3
PTRACE_O_TRACESYSGOOD = 1
BIRTHS = (PTRACE_EVENT_FORK, PTRACE_EVENT_VFORK, PTRACE_EVENT_CLONE)
SYSCALL_STOP = signal.SIGTRAP | 0x80


@dataclass(frozen=True, slots=True)
class Birth:
    """A new process that has not run yet and the thread that created it, both held."""

    parent: int
    pid: int


class TracedHarness:
    """Traces a harness with all its threads, and holds the processes that it creates."""

    def __init__(self, stage: Stage, work: Work) -> None:
        self.stage = stage
        self._held: set[int] = set()
        self._born: dict[int, int] = {}

        def begin(line: Line) -> object:
            line.receive(10)
            return work(line)

        self.child: Child = children.fork(stage, begin)
        seize(self.child.pid)
        self.child.line.send("go")

    def birth(self, seconds: float = 10) -> Birth:
        """The next process that the harness creates, in time."""
        self._pump_until(lambda: self._complete() is not None, seconds, "the harness makes a process")
        birth = self._complete()
        assert birth is not None
        return birth

    def _complete(self) -> Birth | None:
        """A birth whose two sides are both stopped."""
        both = (Birth(parent, pid) for pid, parent in self._born.items() if {pid, parent} <= self._held)
        return next(both, None)

    def release(self, birth: Birth) -> None:
        """Resume the parent."""
        del self._born[birth.pid]
        self._resume(birth.parent)

    def let_go(self, birth: Birth) -> None:
        """Detach the child, which begins to run."""
        self._held.discard(birth.pid)
        _request(PTRACE_DETACH, birth.pid)

    def crash(self, birth: Birth) -> None:
        """Set the child's program counter to an unmapped address, and wait for its death."""
        _request(PTRACE_POKEUSER, birth.pid, 0, registers.PC * 8)
        self.let_go(birth)
        self.stage.wait_until(lambda: process_state(birth.pid) in ("Z", None), 5, "the newborn is dead")

    def deliver_all(self) -> None:
        """Let every process that the harness creates run undisturbed."""
        while (birth := self._complete()) is not None:
            self.let_go(birth)
            self.release(birth)

    def hear(self, seconds: float) -> object:
        """The harness's next message, in time; processes created before it run undisturbed."""
        self._pump_until(self._speaks, seconds, "the harness speaks")
        return self.child.hear(seconds)

    def _speaks(self) -> bool:
        self.deliver_all()
        return self.child.line.has_word()

    def hear_while_holding(self, seconds: float) -> object:
        """The harness's next message, in time, while the held threads stay held."""
        self._pump_until(self.child.line.has_word, seconds, "the harness speaks while one of its threads stands still")
        return self.child.hear(seconds)

    def result(self, seconds: float) -> object:
        """The harness's result, in time, once the harness is gone."""
        self._pump_until(self._speaks, seconds, "the harness ends its work")
        result = self.child.result(seconds)
        self._pump_until(lambda: process_state(self.child.pid) is None, seconds, "the harness ends")
        return result

    def _pump_until(self, predicate: Callable[[], object], seconds: float, claim: str) -> None:
        def holds() -> object:
            self._pump()
            return predicate()

        self.stage.wait_until(holds, seconds, claim)

    def _pump(self) -> None:
        """Handle the stops there are, and resume every thread that is not to be held."""
        while True:
            try:
                tid, status = os.waitpid(-1, os.WNOHANG | WALL)
            except ChildProcessError:
                return
            if tid == 0:
                return
            if os.WIFSTOPPED(status):
                self._take(tid, status)

    def _take(self, tid: int, status: int) -> None:
        event = status >> 16
        self._held.add(tid)
        made = _event_message(tid) if event in BIRTHS else 0
        if made and not self._is_thread(made):
            self._born[made] = tid
        elif self._is_thread(tid):
            self._resume(tid, 0 if event else os.WSTOPSIG(status))

    def _is_thread(self, tid: int) -> bool:
        return Path(f"/proc/{self.child.pid}/task/{tid}").exists()

    def _resume(self, tid: int, signo: int = 0) -> None:
        self._held.discard(tid)
        _request(PTRACE_CONT, tid, signo)


class Stepper:
    """Traces one thread of a harness from system call to system call."""

    def __init__(self, stage: Stage, tid: int) -> None:
        self.stage = stage
        self.tid = tid
        _request(PTRACE_SEIZE, tid, PTRACE_O_TRACESYSGOOD)
        self._runs = True
        self._stop()

    def step(self, is_over: Callable[[], bool]) -> bool:
        """Run it to its next system call entry or exit; False if `is_over` holds first."""
        signo = 0
        while True:
            _request(PTRACE_SYSCALL, self.tid, signo)
            self._runs = True
            status = self._await_stop(is_over)
            if status is None or os.WSTOPSIG(status) == SYSCALL_STOP:
                return status is not None
            signo = 0 if status >> 16 else os.WSTOPSIG(status)

    def _await_stop(self, is_over: Callable[[], bool]) -> int | None:
        deadline = time.monotonic() + self.stage.trial.seconds(10)
        while True:
            try:
                tid, status = os.waitpid(self.tid, os.WNOHANG | WALL)
            except ChildProcessError:
                raise AssertionError("the tracing thread has ended") from None
            if tid:
                self._runs = False
                assert os.WIFSTOPPED(status), f"the tracing thread has ended, with the wait status {status:#x}"
                return status
            if is_over():
                return None
            in_time(time.monotonic() < deadline, "the tracing thread neither makes a system call nor ends")
            os.sched_yield()

    def _stop(self) -> None:
        if self._runs:
            _request(PTRACE_INTERRUPT, self.tid)
            self._await_stop(lambda: False)

    def let_go(self) -> None:
        """Detach the thread."""
        self._stop()
        _request(PTRACE_DETACH, self.tid)


def await_death(stage: Stage, pid: int) -> None:
    """Wait until every thread of the process is dead, reaped or not."""
    stage.wait_until(lambda: set(threads_of(pid).values()) <= {"Z", "X"}, 5, f"every thread of {pid} is dead")


def _event_message(tid: int) -> int:
    message = ctypes.c_ulong()
    _request(PTRACE_GETEVENTMSG, tid, ctypes.addressof(message))
    return message.value


def _request(request: int, tid: int, data: int = 0, address: int = 0) -> None:
    """Make a request to a tracee that may just have been killed."""
    if libc.ptrace(request, tid, address, data) != 0 and ctypes.get_errno() != errno.ESRCH:
        raise OSError(ctypes.get_errno(), f"ptrace request {request:#x} to {tid}")
