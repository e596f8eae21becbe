"""The last ptrace events of this process, as lines for people."""

from __future__ import annotations

import errno

from worldswitch.reference._core import ffi, lib
from worldswitch.reference.stops import decode

#: Requests by number.
REQUESTS = {
    getattr(lib, name): name
    for name in dir(lib)
    if name.startswith("PTRACE_") and not name.startswith(("PTRACE_O_", "PTRACE_EVENT", "PTRACE_SYSCALL_INFO"))
}


def last_events() -> list[str]:
    """The last events of all threads that trace, the oldest first."""
    events = ffi.new("struct ptrace_event[]", lib.PTRACE_EVENTS_KEPT)
    count = lib.ptrace_events(events)
    return [f"thread {events[i].tid}: {_told(events[i])}" for i in range(count)]


def _told(event: object) -> str:
    request, result = event.request, event.result  # type: ignore[attr-defined]
    if request:
        return f"{REQUESTS.get(request, hex(request))} -> {_result(result)}"
    return f"wait -> {_result(result) if result < 0 else decode(result)}"


def _result(result: int) -> str:
    return errno.errorcode.get(-result, str(result)) if result < 0 else str(result)
