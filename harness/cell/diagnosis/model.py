"""The diagnosis of a trial that did not pass: its last ptrace events and its processes.

    `Event`            a decoded ptrace request or wait; the oldest first
    `ProcessSnapshot`  the trial's process or a descendant such as a stub, with its threads and memory map

The platform records the events (`worldswitch.harness.flight`).  The processes are read from /proc when the trial fails,
before any is killed (`worldswitch.harness.cell.diagnosis.snapshot`).  Both are bounded.
"""

from __future__ import annotations

import msgspec


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A ptrace request or wait and its result."""

    seconds: float  #: since the trial began, on the transcript's clock
    tracer: int  #: the thread that made the request
    tid: int  #: the traced thread
    request: str  #: ``PTRACE_SYSEMU``, ``wait4``, or a number in hexadecimal
    result: str  #: as text: ``0``, ``ESRCH``, ``stopped at a system call``
    status: int | None = None  #: the wait status, if this is a wait that returned one
    siginfo: str = ""  #: of a signal stop: ``SIGSEGV, code 1 (SEGV_MAPERR), at 0x10``
    registers: dict[str, str] = {}  #: those that changed in this thread, in hexadecimal


class ThreadSnapshot(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A thread, from /proc/PID/task/TID; a field that could not be read is empty."""

    tid: int
    name: str = ""
    state: str = ""  #: ``t (tracing stop)``
    tracer: int = 0  #: the tracer's id; 0 if none
    wchan: str = ""  #: the kernel function that it sleeps in
    syscall: str = ""  #: the current system call as text: ``wait4(0x5, ...)``, ``running``
    stack: tuple[str, ...] = ()  #: the kernel stack, the innermost frame first
    status: dict[str, str] = {}  #: more lines of ``status``: signals, seccomp, capabilities


class ProcessSnapshot(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A process."""

    pid: int
    parent: int
    name: str = ""
    threads: tuple[ThreadSnapshot, ...] = ()
    maps: tuple[str, ...] = ()  #: its mappings; adjacent ones of a file are one line
    left_out: str = ""  #: the number of omitted threads, mappings and libraries


class Diagnosis(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The last events and the processes."""

    events: tuple[Event, ...] = ()
    forgotten: int = 0  #: the number of earlier events
    processes: tuple[ProcessSnapshot, ...] = ()
    moment: str = ""  #: the time of the snapshot: ``when it failed``, ``at the deadline``

    def __bool__(self) -> bool:
        """True if there is any event or process."""
        return bool(self.events or self.processes)
