"""Where the C core notes each ptrace request and stop of this process."""

from __future__ import annotations

import errno
from typing import Any

from worldswitch.harness.flight import Recorder
from worldswitch.reference._core import ffi, lib

#: All that the core has written to.  None is ever freed: a thread may be in the middle of an event in any of them.
_memories: list[Any] = []


def record(recorder: Recorder) -> None:
    """Note everything there from now on: of all platforms in this process, whose threads are shared."""
    memory = ffi.from_buffer("struct flight_ring *", recorder.memory, require_writable=True)
    if lib.flight_record(memory) == -errno.EINVAL:
        raise ValueError("the recorder is made for events of another size")
    if memory not in _memories:
        _memories.append(memory)
