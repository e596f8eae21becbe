"""Injected calls that wait in the kernel until the scenario ends them.

A signal ends a waiting system call inside the kernel with a code that user space never sees: 512 to 514 and 516
(include/linux/errno.h).  The injector must restart the call; `Waiting` checks that it keeps waiting and returns its
true result in the end.
"""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from worldswitch.harness.contract import Access, HostError
from worldswitch.scenarios.guests import Number
from worldswitch.scenarios.stage.deaths import kill
from worldswitch.scenarios.stage.processes import descendants_of, process_state, threads_of
from worldswitch.scenarios.stage.senders import SignalSender, untaken
from worldswitch.scenarios.stage.stage import PAGE, InspectableAddressSpace, Stage
from worldswitch.scenarios.stage.steady_guests import is_traced, outcome_of

#: The calls that these scenarios inject, in addition to the platform's own.
INJECTABLE = (
    *(Number.READ, Number.WRITE, Number.POLL, Number.PSELECT6, Number.PAUSE, Number.NANOSLEEP, Number.FUTEX),
    *(Number.RESTART_SYSCALL, Number.CLONE, Number.WAIT4, Number.GETPID, Number.CLOSE, Number.MMAP, Number.MUNMAP),
)

FUTEX_WAIT, FUTEX_WAKE, FUTEX_LOCK_PI, FUTEX_UNLOCK_PI = 0, 1, 6, 7  # <linux/futex.h>
FUTEX_TID_MASK = 0x3FFF_FFFF
POLLIN = 1  # <poll.h>

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Call:
    """A system call that waits, the function that ends the wait, and the result then."""

    number: Number
    arguments: tuple[int, ...]
    end: Callable[[], object]
    result: int


class Room:
    """An address space to inject into, with a page of memory for the calls' arguments."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.platform = stage.platform_with(injectable=INJECTABLE)
        self.space: InspectableAddressSpace = stage.inspect(stage.space(self.platform))
        self.memory = stage.memory(PAGE)
        self.address = stage.map(self.space, self.memory, Access.READ | Access.WRITE)

    def read(self) -> Call:
        """A read of a pipe: 512, ERESTARTSYS."""
        source, sink = os.pipe()
        return Call(Number.READ, (source, self.address, 1), lambda: os.write(sink, b"!"), 1)

    def select(self) -> Call:
        """A select without a timeout: 514, ERESTARTNOHAND."""
        source, sink = os.pipe()
        self.memory[0:128] = (1 << source).to_bytes(128, "little")
        return Call(Number.PSELECT6, (source + 1, self.address), lambda: os.write(sink, b"!"), 1)

    def lock(self) -> Call:
        """A lock of a futex with priority inheritance that the calling thread holds: 513, ERESTARTNOINTR."""
        self.memory.set_word(0, threading.get_native_id())
        return Call(Number.FUTEX, (self.address, FUTEX_LOCK_PI), lambda: self._futex(FUTEX_UNLOCK_PI, 0), 0)

    def poll(self) -> Call:
        """A poll with a timeout: 516, ERESTART_RESTARTBLOCK."""
        source, sink = os.pipe()
        self.memory[0:8] = struct.pack("ihh", source, POLLIN, 0)
        return Call(Number.POLL, (self.address, 1, 60_000), lambda: os.write(sink, b"!"), 1)

    def futex_wait(self) -> Call:
        """A wait for a futex with a timeout: 516, ERESTART_RESTARTBLOCK."""
        self.memory[0:24] = struct.pack("QQQ", 0, 60, 0)
        arguments = (self.address, FUTEX_WAIT, 0, self.address + 8)
        return Call(Number.FUTEX, arguments, lambda: self._futex(FUTEX_WAKE, 1), 0)

    def sleep(self, seconds: float) -> Call:
        """A sleep, which ends by itself: 516, ERESTART_RESTARTBLOCK."""
        self.memory[0:16] = struct.pack("QQ", int(seconds), int(seconds % 1 * 1e9))
        return Call(Number.NANOSLEEP, (self.address,), lambda: None, 0)

    def _futex(self, operation: int, value: int) -> None:
        with mmap.mmap(self.memory.fd, PAGE) as ours:
            word = ctypes.c_uint32.from_buffer(ours)
            outcome = _libc.syscall(Number.FUTEX, ctypes.byref(word), operation, value, None, None, 0)
            assert outcome >= 0, f"futex operation {operation}: {os.strerror(ctypes.get_errno())}"
            del word


class Waiting:
    """An injected call in progress, in its own thread."""

    def __init__(self, room: Room, call: Call) -> None:
        self.stage = room.stage
        self.call = call
        self.pid = room.space.stub.pid
        self.running = self.stage.thread(outcome_of, partial(room.space.inject, call.number, *call.arguments))
        self.tid = 0
        self._wait(self._has_begun, f"{call.number.name} waits in the kernel")
        assert self.tid, f"{call.number.name} ended before it waited: {self.running.result()!r}"

    def _has_begun(self) -> bool:
        # Parked threads wait too, in calls of their own.
        traced = (tid for tid in threads_of(self.pid) if is_traced(tid))
        self.tid = next((tid for tid in traced if self._waits_in(tid)), 0)
        return self.tid != 0

    def _waits_in(self, tid: int) -> bool:
        if process_state(tid) not in ("S", "D"):  # a thread stopped at the entry shows the number already
            return False
        return current_call(self.pid, tid)[:1] in ([self.call.number], [Number.RESTART_SYSCALL])

    def _wait(self, predicate: Callable[[], bool], claim: str) -> None:
        self.stage.wait_until(lambda: self.running.is_over or predicate(), claim=claim)

    def goes_on_despite(self, other: SignalSender, *signos: int) -> None:
        """Check that after each of `signos`, sent to its thread, the call waits again."""
        for signo in signos:
            other.tgkill(self.pid, self.tid, signo)
            self.waits_on(f"signal {signo}")

    def waits_on(self, despite: str) -> None:
        """Check that the pending signals are taken and the call still waits in the kernel."""
        self._wait(
            lambda: not untaken(self.pid, self.tid) and self._waits_in(self.tid),
            f"{self.call.number.name} waits on despite {despite}",
        )
        assert not self.running.is_over, f"{despite} ended {self.call.number.name}: {self.running.result()!r}"

    def ends_with_its_result(self) -> None:
        """End the wait, and check the call's result."""
        self.call.end()
        outcome = self.running.result()
        assert outcome == self.call.result, f"{self.call.number.name} ended with {outcome!r}"


def current_call(pid: int, tid: int) -> list[int]:
    """The system call that a thread waits in: the number and six arguments, or nothing."""
    words = Path(f"/proc/{pid}/task/{tid}/syscall").read_text().split()
    return [int(word, 0) for word in words[:7]] if len(words) == 9 else []


def injected(space: InspectableAddressSpace, number: Number, *arguments: int) -> int:
    """The result of an injected call that must succeed."""
    outcome = outcome_of(partial(space.inject, number, *arguments))
    assert isinstance(outcome, int), f"an injected {number.name} gave {outcome!r}"
    return outcome


def refusal(operation: Callable[[], object]) -> int | None:
    """The errno with which the host refuses `operation`, or None."""
    try:
        operation()
    except HostError as error:
        return error.errno
    return None


@contextlib.contextmanager
def no_child_left(room: Room) -> Iterator[None]:
    """Kill the stub's children at the end of the block."""
    stub = room.space.stub
    try:
        yield
    finally:
        for pid in descendants_of(stub.pid):
            kill(pid)
