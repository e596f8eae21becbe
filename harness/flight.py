"""The flight recorder: a ring of a platform's last ptrace events that outlives the process that wrote them.

The trial's supervisor creates and reads it.  The platform receives it as `Options.recorder` and writes each ptrace
request and each stop: from C for speed (the layout is `HEADER` and `EVENT`), else by `Recorder.note`.  The memory is
shared, so the events of a trial that hangs or is killed survive, as do those of its forked processes.

A writer claims a slot by one increment, writes the number there with the flag `WRITING`, and fills the slot without a
lock; the number without the flag, written last, marks the event as complete.  A slot belongs to the writer that
claimed it until then: a later event for it is counted and dropped.
"""

from __future__ import annotations

import itertools
import mmap
import struct
import threading
import time
from dataclasses import dataclass

from worldswitch.harness.arch import registers

#: Bytes per event, capacity in events (0: recording is paused), events so far; padded to a cache line.
HEADER = struct.Struct("=QQQ40x")
ROOM, NOTED = 8, 16  #: where the second and the third of them are

#: Number, nanoseconds of CLOCK_MONOTONIC, tracer, tracee, request, which registers, whether `about` is set, result;
#: the registers as in user_regs_struct; `about`, the first bytes of a stop's siginfo_t or ptrace_syscall_info.
EVENT = struct.Struct(f"=QQiiihhq{registers.SIZE}s48s")

#: What an event begins with.
NUMBER = struct.Struct("=Q")

CAPACITY = 128

#: The request number of a wait, whose result is a wait status.
WAIT = -1

#: A flag in the number of an event that is being written.
WRITING = 1 << 63

#: The registers in an event: none, all, or only a system call's result.
NONE, ALL, RESULT = range(3)


@dataclass(frozen=True, slots=True)
class Noted:
    """One recorded event."""

    number: int
    nanoseconds: int
    tracer: int
    tid: int
    request: int
    result: int
    registers: bytes | None = None  #: user_regs_struct
    result_register: int | None = None  #: the only register, if one was written
    about: bytes = b""


class Recorder:
    """The last `CAPACITY` events, in shared memory."""

    def __init__(self) -> None:
        self.memory = mmap.mmap(-1, HEADER.size + CAPACITY * EVENT.size)
        self._saved = mmap.mmap(-1, len(self.memory))
        self._numbers = itertools.count(1)
        HEADER.pack_into(self.memory, 0, EVENT.size, CAPACITY, 0)

    def note(self, tid: int, request: int, result: int, values: bytes = b"", about: bytes = b"") -> None:
        """Record a request or wait of the calling thread; `values` is a user_regs_struct, `about` a stop's details."""
        if not NUMBER.unpack_from(self.memory, ROOM)[0]:
            return
        number = next(self._numbers)
        at = _place(number - 1)
        NUMBER.pack_into(self.memory, NOTED, max(number, *NUMBER.unpack_from(self.memory, NOTED)))
        if NUMBER.unpack_from(self.memory, at)[0] >= number:
            return
        when, tracer = time.monotonic_ns(), threading.get_native_id()
        event = (when, tracer, tid, request, ALL if values else NONE, bool(about), result, values, about[:48])
        EVENT.pack_into(self.memory, at, number | WRITING, *event)
        NUMBER.pack_into(self.memory, at, number)

    def clear(self) -> None:
        """Forget all events."""
        self.memory[:] = bytes(len(self.memory))
        self._saved[: HEADER.size] = bytes(HEADER.size)
        HEADER.pack_into(self.memory, 0, EVENT.size, CAPACITY, 0)

    def pause(self) -> None:
        """Stop recording until `resume`."""
        self._set_capacity(0)

    def resume(self) -> None:
        """Record events again."""
        self._set_capacity(CAPACITY)

    def _set_capacity(self, capacity: int) -> None:
        NUMBER.pack_into(self.memory, ROOM, capacity)

    def keep(self) -> None:
        """Save the current events once; those of the teardown that follows do not explain the failure."""
        if not any(self._saved[: HEADER.size]):
            self._saved[:] = self._whole()

    def read(self) -> tuple[list[Noted], int]:
        """Return the saved events, else the last ones, in order, and the number of earlier events."""
        raw = bytes(self._saved) if any(self._saved[: HEADER.size]) else self._whole()
        _, _, count = HEADER.unpack_from(raw)
        found = [_noted(raw, _place(place)) for place in range(CAPACITY)]
        events = [
            event
            for place, event in enumerate(found)
            if max(0, count - CAPACITY) < event.number <= count and (event.number - 1) % CAPACITY == place
        ]
        return sorted(events, key=lambda event: event.number), count - len(events)

    def _whole(self) -> bytes:
        """Return a copy of the memory, without the events that were written while it was copied."""
        before = self._written()
        raw = bytearray(self.memory)
        after = self._written()
        for place in range(CAPACITY):
            if before[place] != after[place]:
                NUMBER.pack_into(raw, _place(place), 0)
        raw[: HEADER.size] = self.memory[: HEADER.size]
        return bytes(raw)

    def _written(self) -> list[int]:
        """Return the number in each slot."""
        return [NUMBER.unpack_from(self.memory, _place(place))[0] for place in range(CAPACITY)]


def _place(index: int) -> int:
    """Where the event with that index lies."""
    return HEADER.size + index % CAPACITY * EVENT.size


def _noted(raw: bytes, at: int) -> Noted:
    number, when, tracer, tid, request, has, more, result, values, about = EVENT.unpack_from(raw, at)
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
