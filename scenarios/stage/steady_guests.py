"""Guests that compute or make calls while something happens around them, which is claimed not to disturb them."""

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
from worldswitch.scenarios.stage.stage import Guest, Running, Stage

GETPID = Syscall(Number.GETPID)

#: What stands in the registers that `count_loop` has no use for, to be found there again.
PATTERN = {
    name: 0x0101_0101_0101_0101 * number
    for number, name in enumerate(
        ("rax", "rcx", "rdx", "rsi", "rdi", "rbp", "r8", "r9", "r10", "r11", "r13", "r14", "r15"), start=1
    )
}

#: Where register xmm15 is in an XSAVE image: the legacy area's sixteenth vector (Intel SDM 1, table 13-1).
XMM15 = slice(160 + 15 * 16, 160 + 16 * 16)


def is_traced(tid: int) -> bool:
    """Tell whether some thread traces the thread `tid`; nobody does any more when it is gone."""
    try:
        return status_of(tid, "TracerPid") != "0"
    except (FileNotFoundError, ProcessLookupError):
        return False


def outcome_of(function: Callable[[], object]) -> object:
    """Give what `function` returns, or the error that the platform or the host answers it with."""
    try:
        return function()
    except (PlatformError, OSError) as error:
        return error


class Computing:
    """A guest that computes in a tracing thread of its own, while the ``with`` block lasts."""

    def __init__(self, stage: Stage, guest: Guest | None = None) -> None:
        self.stage = stage
        self.guest = guest or stage.guest(guests.count_loop)
        for name, value in PATTERN.items():
            self.guest.state[name] = value

    def __enter__(self) -> Computing:
        before = self.count
        self.running: Running[object] = self.stage.thread(outcome_of, self.guest.switch)
        self.stage.wait_until(lambda: self.count > before or self.running.is_over, claim="the guest computes")
        return self

    def __exit__(self, *_: object) -> None:
        if not self.running.is_over:
            self.guest.context.interrupt()

    @property
    def count(self) -> int:
        """How far the guest has counted."""
        return self.guest.data.word()

    @property
    def pid(self) -> int:
        """The process it runs in."""
        return self.stage.inspect(self.guest.space).stub.pid

    @cached_property
    def tid(self) -> int:
        """The thread it runs in: the one of its stub that runs and is traced."""
        running: list[int] = []

        def one_runs() -> bool:
            running[:] = [tid for tid, state in threads_of(self.pid).items() if state == "R" and is_traced(tid)]
            return bool(running)

        self._wait(one_runs, f"a traced thread of {self.pid} runs")
        self._has_not_ended("what came before")
        return running[0]

    def is_undisturbed(self, by: str) -> None:
        """Nothing on its way to the guest's thread ends its switch or keeps it from computing on."""
        pid, tid = self.pid, self.tid
        self._wait(lambda: not untaken(pid, tid), f"{by} was taken by thread {tid}")
        self.computes_on(by)

    def computes_on(self, despite: str) -> None:
        """Its switch has not ended, and it gets on."""
        seen = self.count
        self._wait(lambda: self.count > seen, f"the guest computes on despite {despite}")
        self._has_not_ended(despite)

    def _has_not_ended(self, despite: str) -> None:
        assert not self.running.is_over, f"{despite} ended the guest's switch: {self.running.result()!r}"

    def _wait(self, predicate: Callable[[], bool], claim: str) -> None:
        self.stage.wait_until(lambda: self.running.is_over or predicate(), claim=claim)

    def ends_when_interrupted(self, seconds: float = 5.0) -> None:
        """`Context.interrupt` ends its switch, and its state is exact."""
        self.guest.context.interrupt()
        event = self.running.result(seconds)
        assert event == Interrupted(), f"an interrupted guest came back with {event!r}"
        self.is_exact()

    def is_exact(self) -> None:
        """What it counted in a register and in memory agree, it is in its loop, and no other register has changed."""
        state = self.guest.state
        ahead = state["r12"] - self.count
        assert ahead in (0, 1), f"counted {state['r12']} in a register and {self.count} in memory"
        assert 0 <= state.pc - self.guest.code < len(self.guest.program.code), f"not in its loop: {state.pc:#x}"
        changed = {name: hex(state[name]) for name, value in PATTERN.items() if state[name] != value}
        assert not changed, f"registers changed: {changed}"


def makes_calls(guest: Guest, count: int) -> None:
    """Run a guest that plays `getpid_loop` through `count` calls: none is lost or doubled, each result reaches it."""
    state = guest.state
    for number in range(count):
        answer, counted = state.result, guest.data.word() + (state.pc != guest.code)
        event = outcome_of(partial(guest.context.switch, guest.space, state))
        assert event == GETPID, f"call {number} of {count}: the guest came back with {event!r}"
        assert state.arguments[0] == answer, f"call {number} of {count}: its result did not reach the guest"
        assert guest.data.word() == state["r12"] == counted, f"call {number} of {count}: the guest lost count"
        state.result = random.getrandbits(63)


def counts(guest: Guest) -> tuple[int, int, int]:
    """What a `vector_loop` guest has counted: in r12, in both words of its vector as it stored it, and as it holds it.

    A resident context's third count means nothing before `pull`.
    """
    stored = {guest.data.word(16), guest.data.word(24)}
    held = {int.from_bytes(guest.state.xstate[XMM15][i : i + 8], "little") for i in (0, 8)}
    assert len(stored) == len(held) == 1, f"the halves of a vector differ: {stored} {held}"
    return guest.state["r12"], stored.pop(), held.pop()


def in_a_thread_that_ends(stage: Stage, function: Callable[[], None], seconds: float = 5.0) -> None:
    """Call `function` in a tracing thread that then ends, to the last of its destructors."""
    running = stage.thread(function)
    tid = running.thread.native_id
    running.result(seconds)
    stage.wait_until(lambda: tid not in threads_of(os.getpid()), claim=f"tracing thread {tid} ended")
