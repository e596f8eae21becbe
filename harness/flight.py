"""The flight recorder: memory for a platform's last ptrace events, which outlives the process that wrote them.

The trial's supervisor makes it and reads it.  The platform gets it as `Options.recorder` and writes each ptrace request
and each stop there: in C if it wants to be quick (the layout is `HEADER` and `EVENT`), else by `Recorder.note`.  It is
shared memory: a trial that hangs or was killed has told its story, and so have the processes that it forked.

An event draws its number by one increment, claims its place by writing the number with the flag `WRITING` there, and
is written without a lock; the number without the flag, written last, says that it is whole.  A place that is claimed
stays with the event that claimed it: a later one is only counted.
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
ROOM, NOTED = 8, 16  #: where the second and the third of them are

#: Number, nanoseconds of CLOCK_MONOTONIC, tracer, tracee, request, which registers, whether there is more, result; the
#: registers as in user_regs_struct; the beginning of what was told about a stop (siginfo_t, ptrace_syscall_info).
EVENT = struct.Struct(f"=QQiiihhq{registers.SIZE}s48s")

#: What an event begins with.
NUMBER = struct.Struct("=Q")

CAPACITY = 128

#: The request of an event that is a wait; the result is then a wait status.
WAIT = -1

#: A flag in the number of an event that is being written.
WRITING = 1 << 63

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
        if not NUMBER.unpack_from(self.memory, ROOM)[0]:
            return
        number = next(self._numbers)
        at = _place(number - 1)
        NUMBER.pack_into(self.memory, NOTED, max(number, *NUMBER.unpack_from(self.memory, NOTED)))
        if NUMBER.unpack_from(self.memory, at)[0] >= number:
            return
        when, who = time.monotonic_ns(), threading.get_native_id()
        told = (when, who, tid, request, ALL if values else NONE, bool(about), result, values, about[:48])
        EVENT.pack_into(self.memory, at, number | WRITING, *told)
        NUMBER.pack_into(self.memory, at, number)

    def pause(self) -> None:
        """Have nothing noted, until `resume`."""
        self._set_capacity(0)

    def resume(self) -> None:
        """Have events noted again."""
        self._set_capacity(CAPACITY)

    def _set_capacity(self, capacity: int) -> None:
        NUMBER.pack_into(self.memory, ROOM, capacity)

    def keep(self) -> None:
        """Keep what is there now: what follows, the end of everything, says nothing about the failure."""
        if not any(self._kept[: HEADER.size]):
            self._kept[:] = self._whole()

    def read(self) -> tuple[list[Noted], int]:
        """The events kept, or the last ones, in their order; and how many came before."""
        raw = bytes(self._kept) if any(self._kept[: HEADER.size]) else self._whole()
        _, _, count = HEADER.unpack_from(raw)
        found = [_noted(raw, _place(place)) for place in range(CAPACITY)]
        kept = [
            event
            for place, event in enumerate(found)
            if max(0, count - CAPACITY) < event.number <= count and (event.number - 1) % CAPACITY == place
        ]
        return sorted(kept, key=lambda event: event.number), count - len(kept)

    def _whole(self) -> bytes:
        """The memory as it is now, without the events that were written while it was copied."""
        before = self._written()
        raw = bytearray(self.memory)
        after = self._written()
        for place in range(CAPACITY):
            if before[place] != after[place]:
                NUMBER.pack_into(raw, _place(place), 0)
        raw[: HEADER.size] = self.memory[: HEADER.size]
        return bytes(raw)

    def _written(self) -> list[int]:
        """The number at each place."""
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
