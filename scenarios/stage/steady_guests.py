"""Guests that compute or make calls during a disturbance that must not affect them."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from functools import cached_property, partial

from worldswitch.harness.contract import Interrupted, PlatformError, Syscall
from worldswitch.scenarios import guests
from worldswitch.scenarios.guests import Number
from worldswitch.scenarios.stage.processes import status_of, threads_of
from worldswitch.scenarios.stage.senders import untaken
from worldswitch.scenarios.stage.stage import Guest, RunningGuest, Stage

GETPID = Syscall(Number.GETPID)

#: Values of the registers that `count_loop` does not use, to be found unchanged.
PATTERN = {
    name: 0x0101_0101_0101_0101 * number
    for number, name in enumerate(
        ("rax", "rcx", "rdx", "rsi", "rdi", "rbp", "r8", "r9", "r10", "r11", "r13", "r14", "r15"), start=1
    )
}

#: Register xmm15 in an XSAVE image: the legacy area's sixteenth vector (Intel SDM 1, table 13-1).
XMM15 = slice(160 + 15 * 16, 160 + 16 * 16)


def is_traced(tid: int) -> bool:
    """Whether any thread traces the thread `tid`; false if it is gone."""
    try:
        return status_of(tid, "TracerPid") != "0"
    except (FileNotFoundError, ProcessLookupError):
        return False


def outcome_of(function: Callable[[], object]) -> object:
    """What `function` returns, or the platform's or host's error."""
    try:
        return function()
    except (PlatformError, OSError) as error:
        return error


class Computing:
    """A guest that computes in a tracing thread while the ``with`` block lasts."""

    def __init__(self, stage: Stage, guest: Guest | None = None) -> None:
        self.stage = stage
        self.guest = guest or stage.guest(guests.count_loop)
        for name, value in PATTERN.items():
            self.guest.state[name] = value

    def __enter__(self) -> Computing:
        before = self.count
        self.running: RunningGuest[object] = self.stage.thread(outcome_of, self.guest.switch)
        self.stage.wait_until(lambda: self.count > before or self.running.is_over, claim="the guest computes")
        return self

    def __exit__(self, *_: object) -> None:
        if not self.running.is_over:
            self.guest.context.interrupt()

    @property
    def count(self) -> int:
        """The guest's count."""
        return self.guest.data.word()

    @property
    def pid(self) -> int:
        """The process that runs the guest."""
        return self.stage.inspect(self.guest.space).stub.pid

    @cached_property
    def tid(self) -> int:
        """The thread that runs the guest: the running, traced one of its stub."""
        running: list[int] = []

        def one_runs() -> bool:
            running[:] = [tid for tid, state in threads_of(self.pid).items() if state == "R" and is_traced(tid)]
            return bool(running)

        self._wait(one_runs, f"a traced thread of {self.pid} runs")
        self._has_not_ended("an earlier event")
        return running[0]

    def is_undisturbed(self, by: str) -> None:
        """Check that the guest's thread has taken its pending signals, and that the guest still computes."""
        pid, tid = self.pid, self.tid
        self._wait(lambda: not untaken(pid, tid), f"{by} was taken by thread {tid}")
        self.computes_on(by)

    def computes_on(self, despite: str) -> None:
        """Check that the switch has not ended and the count grows."""
        seen = self.count
        self._wait(lambda: self.count > seen, f"the guest computes on despite {despite}")
        self._has_not_ended(despite)

    def _has_not_ended(self, despite: str) -> None:
        assert not self.running.is_over, f"{despite} ended the guest's switch: {self.running.result()!r}"

    def _wait(self, predicate: Callable[[], bool], claim: str) -> None:
        self.stage.wait_until(lambda: self.running.is_over or predicate(), claim=claim)

    def ends_when_interrupted(self, seconds: float = 5.0) -> None:
        """Check that `Context.interrupt` ends the switch, with an exact state."""
        self.guest.context.interrupt()
        event = self.running.result(seconds)
        assert event == Interrupted(), f"an interrupted guest returned {event!r}"
        self.is_exact()

    def is_exact(self) -> None:
        """Check that the counts in register and memory agree and no other register has changed."""
        state = self.guest.state
        ahead = state["r12"] - self.count
        assert ahead in (0, 1), f"counted {state['r12']} in a register and {self.count} in memory"
        assert 0 <= state.pc - self.guest.code < len(self.guest.program.code), f"not in its loop: {state.pc:#x}"
        changed = {name: hex(state[name]) for name, value in PATTERN.items() if state[name] != value}
        assert not changed, f"registers changed: {changed}"


def makes_calls(guest: Guest, count: int) -> None:
    """Run a `getpid_loop` guest through `count` calls: none is lost or repeated, and each result arrives."""
    state = guest.state
    for number in range(count):
        answer, counted = state.result, guest.data.word() + (state.pc != guest.code)
        event = outcome_of(partial(guest.context.switch, guest.space, state))
        assert event == GETPID, f"call {number} of {count}: the guest returned {event!r}"
        assert state.arguments[0] == answer, f"call {number} of {count}: its result did not reach the guest"
        assert guest.data.word() == state["r12"] == counted, f"call {number} of {count}: the guest lost count"
        state.result = random.getrandbits(63)


def counts(guest: Guest) -> tuple[int, int, int]:
    """The counts of a `vector_loop` guest: in r12, in the vector it stored, and in the vector it holds.

    A resident context's third count is undefined before `pull`.
    """
    stored = {guest.data.word(16), guest.data.word(24)}
    held = {int.from_bytes(guest.state.xstate[XMM15][i : i + 8], "little") for i in (0, 8)}
    assert len(stored) == len(held) == 1, f"the halves of a vector differ: {stored} {held}"
    return guest.state["r12"], stored.pop(), held.pop()


def in_a_thread_that_ends(stage: Stage, function: Callable[[], None], seconds: float = 5.0) -> None:
    """Call `function` in a tracing thread, and wait until that thread is gone."""
    running = stage.thread(function)
    tid = running.thread.native_id
    running.result(seconds)
    stage.wait_until(lambda: tid not in threads_of(os.getpid()), claim=f"tracing thread {tid} ended")
