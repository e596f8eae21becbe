"""Connects the C core to a flight recorder: each ptrace request and stop of this process is recorded there."""

from __future__ import annotations

import errno
from typing import Any

from worldswitch.harness.flight import Recorder
from worldswitch.reference._core import ffi, lib

#: Every ring that the core has recorded in.  None is ever freed: another thread may be in the middle of an event there.
_memories: list[Any] = []


def record(recorder: Recorder) -> None:
    """Record there from now on, for all platforms of this process.  Raises `ValueError` for another event size."""
    memory = ffi.from_buffer("struct flight_ring *", recorder.memory, require_writable=True)
    if lib.flight_record(memory) == -errno.EINVAL:
        raise ValueError("the recorder was made for events of another size")
    if memory not in _memories:
        _memories.append(memory)
