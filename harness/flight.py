"""The flight recorder: memory for a platform's last ptrace events, which outlives the process that wrote them.

The trial's supervisor makes it and reads it.  The platform gets it as `Options.recorder` and writes each ptrace request
and each stop there: in C if it wants to be quick (the layout is `HEADER` and `EVENT`), else by `Recorder.note`.  It is
shared memory: a trial that hangs or was killed has told its story, and so have the processes that it forked.

An event's place is claimed by one increment and written without a lock; its number, written last, says that it is
whole.
"""

from __future__ import annotations

import itertools
import mmap
import struct
import threading
import time
from dataclasses import dataclass

from worldswitch.harness.arch import registers

#: Bytes for an event, for how many there is room (0: note nothing), how many there were; the rest of a cache line.
HEADER = struct.Struct("=QQQ40x")

#: Number, nanoseconds of CLOCK_MONOTONIC, tracer, tracee, request, which registers, whether there is more, result; the
#: registers as in user_regs_struct; the beginning of what was told about a stop (siginfo_t, ptrace_syscall_info).
EVENT = struct.Struct(f"=QQiiihhq{registers.SIZE}s48s")

CAPACITY = 128

#: The request of an event that is a wait; the result is then a wait status.
WAIT = -1

#: Which registers an event has: none, all, or only the one for a system call's result.
NONE, ALL, RESULT = range(3)


@dataclass(frozen=True, slots=True)
class Noted:
    """One event as it was written."""

    number: int
    nanoseconds: int
    tracer: int
    tid: int
    request: int
    result: int
    registers: bytes | None = None  #: user_regs_struct
    result_register: int | None = None  #: if no other register was written
    about: bytes = b""


class Recorder:
    """The last `CAPACITY` events, in shared memory."""

    def __init__(self) -> None:
        self.memory = mmap.mmap(-1, HEADER.size + CAPACITY * EVENT.size)
        self._kept = mmap.mmap(-1, len(self.memory))
        self._numbers = itertools.count(1)
        HEADER.pack_into(self.memory, 0, EVENT.size, CAPACITY, 0)

    def note(self, tid: int, request: int, result: int, values: bytes = b"", about: bytes = b"") -> None:
        """Note a request or wait of the calling thread, with the registers loaded or read, as user_regs_struct."""
        if not struct.unpack_from("=Q", self.memory, 8)[0]:
            return
        number = next(self._numbers)
        at = HEADER.size + (number - 1) % CAPACITY * EVENT.size
        when, who = time.monotonic_ns(), threading.get_native_id()
        event = (number, when, who, tid, request, ALL if values else NONE, bool(about), result, values, about[:48])
        EVENT.pack_into(self.memory, at, *event)
        HEADER.pack_into(self.memory, 0, EVENT.size, CAPACITY, number)

    def pause(self) -> None:
        """Have nothing noted, until `resume`."""
        self._set_capacity(0)

    def resume(self) -> None:
        """Have events noted again."""
        self._set_capacity(CAPACITY)

    def _set_capacity(self, capacity: int) -> None:
        struct.pack_into("=Q", self.memory, 8, capacity)

    def keep(self) -> None:
        """Keep what is there now: what follows, the end of everything, says nothing about the failure."""
        if not any(self._kept[: HEADER.size]):
            self._kept[:] = self.memory[:]

    def read(self) -> tuple[list[Noted], int]:
        """The events kept, or the last ones, in their order; and how many came before."""
        raw = bytes(self._kept if any(self._kept[: HEADER.size]) else self.memory)
        _, _, count = HEADER.unpack_from(raw)
        found = [_noted(raw, HEADER.size + place * EVENT.size) for place in range(CAPACITY)]
        events = sorted((event for event in found if event is not None), key=lambda event: event.number)
        return events, max(0, count - len(events))


def _noted(raw: bytes, at: int) -> Noted | None:
    number, when, tracer, tid, request, has, more, result, values, about = EVENT.unpack_from(raw, at)
    if number == 0:
        return None
    return Noted(
        number=number,
        nanoseconds=when,
        tracer=tracer,
        tid=tid,
        request=request,
        result=result,
        registers=values if has == ALL else None,
        result_register=struct.unpack_from("=Q", values, 8 * registers.RESULT)[0] if has == RESULT else None,
        about=about if more else b"",
    )
