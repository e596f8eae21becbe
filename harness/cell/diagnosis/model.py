"""What is kept of a trial that did not pass, beside its verdict: its last ptrace events, and who was there.

    `Event`            one ptrace request or wait, decoded; the last of them, the oldest first
    `ProcessSnapshot`  the trial's process, or one below it such as a stub, with its threads and memory map

The platform writes the events as it goes (`worldswitch.harness.flight`).  The processes and their states are read from
/proc when the trial fails, before anything is ended (`worldswitch.harness.cell.diagnosis.snapshot`).  Both are bounded,
and neither is kept of a pass.
"""

from __future__ import annotations

import msgspec


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One ptrace request and its result, or a wait and what it found."""

    seconds: float  #: since the trial began, on the transcript's clock
    tracer: int  #: the thread that did it
    tid: int  #: the thread that it was done to
    request: str  #: ``PTRACE_SYSEMU``, ``wait4``, or a number in hexadecimal
    result: str  #: for people: ``0``, ``ESRCH``, ``stopped at a system call``
    status: int | None = None  #: the wait status, of a wait that found one
    siginfo: str = ""  #: of a stop for a signal: ``SIGSEGV, code 1 (SEGV_MAPERR), at 0x10``
    registers: dict[str, str] = {}  #: those that differ from the last known ones of this thread, in hexadecimal


class ThreadSnapshot(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thread, as /proc/PID/task/TID has it; what could not be read is empty."""

    tid: int
    name: str = ""
    state: str = ""  #: ``t (tracing stop)``
    tracer: int = 0  #: who traces it
    wchan: str = ""  #: where in the kernel it sleeps
    syscall: str = ""  #: which system call it is in, for people: ``wait4(0x5, ...)``, ``running``
    stack: tuple[str, ...] = ()  #: the kernel's, the innermost first
    status: dict[str, str] = {}  #: further lines of its ``status``: signals, seccomp, capabilities


class ProcessSnapshot(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One process."""

    pid: int
    parent: int
    name: str = ""
    threads: tuple[ThreadSnapshot, ...] = ()
    maps: tuple[str, ...] = ()  #: its mappings, neighbours of one file as one line
    left_out: str = ""  #: what there was more than is kept


class Diagnosis(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Both."""

    events: tuple[Event, ...] = ()
    forgotten: int = 0  #: how many events came before those that are kept
    processes: tuple[ProcessSnapshot, ...] = ()
    moment: str = ""  #: when the processes were looked at: ``when its assertion failed``, ``at the deadline``

    def __bool__(self) -> bool:
        """Whether it says anything."""
        return bool(self.events or self.processes)
