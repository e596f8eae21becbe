"""One stub process: its threads, who traces them, and how it dies.

The group leader is only an anchor: traced with PTRACE_O_EXITKILL by the creator thread, so that the whole process ends
with the platform, stopped, and after its birth never resumed or waited for.  (Waiting for a leader blocks while any
other thread of its group is unreaped.)  Further threads are cloned by the *worker*, the creator's own injection thread.

Threads for guests and threads for injected calls are kept apart, and each belongs to the tracing thread that acquired
it until that thread ends (then it is parked and anybody's) or vanishes (then the stub is killed).

No PTRACE_O_TRACEEXIT: with it a killed process lingers until *every* thread's tracer has resumed it, and the tracer of
an idle thread may not come for hours.  Without it the creator can reap all of them.  The price is that the registers in
a `Cause` are the last ones known and not those at the exit.  Seed: subprocess, threadPool.
"""

from __future__ import annotations

import enum
import errno
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from worldswitch.harness.contract import Cause, Death, HostError, StubDied
from worldswitch.reference import x86_64
from worldswitch.reference._core import ffi, lib
from worldswitch.reference.filter import THREAD_FLAGS
from worldswitch.reference.owners import Owner, thread_stat
from worldswitch.reference.page import StubPage
from worldswitch.reference.plan import StubPlan
from worldswitch.reference.stops import WALL
from worldswitch.reference.tracee import MAX_ERRNO, Tracee


class Use(enum.Enum):
    """What a stub thread is for; it never changes."""

    GUEST = "guest"
    CALL = "call"


class StubProcess:
    """A stub process.  Made by the creator thread (`birth`), used by all."""

    tracee_class = Tracee

    def __init__(self, pid: int, page: StubPage, plan: StubPlan, on_death: Callable[[StubProcess], None]) -> None:
        self.pid = pid
        self.page = page
        self.plan = plan
        self.cause: Cause | None = None
        self.reaped = threading.Event()
        self._on_death = on_death
        self._maker = os.getpid()
        self._lock = threading.Lock()
        self._tracees: dict[Use, list[Tracee]] = {use: [] for use in Use}
        self._owners: dict[Tracee, Owner] = {}
        #: Tracees that stood in a stop while their tracer waited, when last looked at: the number of that stop.
        self._waiting: dict[Tracee, int | None] = {}
        self._segments = ffi.new("struct registers *")
        self._leader: Tracee | None = None
        self._worker: Tracee | None = None

    @property
    def is_ours(self) -> bool:
        """Made by this very process: a forked copy of us has the object but no right to the threads."""
        return os.getpid() == self._maker

    # ------------------------------------------------------------------------------------------------------- birth

    def adopt_leader(self) -> None:
        """Take over the leader at its first trap: capture its registers, empty its memory, give it a worker.

        Creator thread only.  Seed: grabInitRegs, newSubprocess.
        """
        leader = self._leader = self.tracee_class(self, self.pid)
        ffi.memmove(self._segments, leader.registers(), ffi.sizeof("struct registers"))
        x86_64.keep_segments(self._segments)
        self.segments_to(leader.handle)
        # The trap, being forced, unblocked itself.
        leader.block_signals(0xFFFF_FFFF_FFFF_FFFF)
        self.unmap_all(leader)
        tid = self._checked("clone", leader.call(lib.SYS_clone, THREAD_FLAGS))
        self._worker = self._seized(self.tracee_class(self, tid))

    def segments_to(self, handle: Any) -> None:
        """Give a tracee the segment selectors that this stub's threads have."""
        handle.segments = self._segments[0]

    def _seized(self, worker: Tracee) -> Tracee:
        worker.claim()
        worker.attach(self.plan.trace_options | lib.PTRACE_O_EXITKILL)
        worker.block_signals(0xFFFF_FFFF_FFFF_FFFF)
        worker.registers()  # for a dump, should it never come to work
        return worker

    def unmap_all(self, tracee: Tracee) -> None:
        """Unmap everything below and above the stub's page.  Raises `HostError`.  Seed: subprocess.unmap."""
        for begin, end in ((0, self.page.begin), (self.page.end, self.page.task_size)):
            if begin < end:
                self._checked(f"munmap({begin:#x}, {end - begin:#x})", tracee.call(lib.SYS_munmap, begin, end - begin))

    def _checked(self, what: str, result: int) -> int:
        if -MAX_ERRNO <= result < 0:
            raise HostError(-result, f"{what} in the stub")
        return result

    def empty(self) -> None:
        """Unmap all that the last tenant mapped.  Creator thread only.  Raises `HostError`, `StubDied`."""
        self.unmap_all(self.worker)

    # --------------------------------------------------------------------------------------------------- its threads

    @property
    def worker(self) -> Tracee:
        """The creator's own injection thread.  Raises `StubDied` where there is none (any more)."""
        if self._worker is None or self.cause is not None:
            raise StubDied(self.cause or Cause(Death.BROKEN))
        return self._worker

    def spawn(self, use: Use) -> None:
        """Have a thread parked, untraced: a new one, unless one came for a request that nobody waits for any more.

        Creator thread only.  Raises `HostError` (EAGAIN where a limit on processes is reached) and `StubDied`.
        """
        with self._lock:
            if any(tracee.handle.state == lib.TRACEE_PARKED for tracee in self._tracees[use]):
                return
        tracee = self.tracee_class(self, self._checked("clone", self.worker.call(lib.SYS_clone, THREAD_FLAGS)))
        with self._lock:
            self._tracees[use].append(tracee)

    def acquire(self, use: Use, spawn: Callable[[], None], options: int, xstate_length: int) -> Tracee:
        """A thread for `use` that the calling thread traces: a parked one, or else a new one.

        `spawn` has the creator thread make it, where no signal handler of Python's can come between and lose it; what
        an exception leaves half done here is found again by the thread that began it.

        Raises `StubDied`, and what `spawn` raises.  Seed: lookupOrCreate.
        """
        self.look_for_vanished(thoroughly=True)
        if self.cause is not None:
            raise StubDied(self.cause)
        while (tracee := self._begun_before(use) or self._claim_parked(use)) is None:
            spawn()
        with self._lock:
            self._owners[tracee] = Owner.current()
        tracee.handle.xstate_length = xstate_length
        tracee.attach(options)
        return tracee

    def _claim_parked(self, use: Use) -> Tracee | None:
        with self._lock:
            return next((tracee for tracee in self._tracees[use] if tracee.claim()), None)

    def _begun_before(self, use: Use) -> Tracee | None:
        with self._lock:
            return next((tracee for tracee in self._tracees[use] if tracee.is_mine), None)

    def admit_none(self) -> None:
        """Have every context look at its lease before the next switch here."""
        with self._lock:
            for tracee in self._tracees[Use.GUEST]:
                lib.tracee_admit(tracee.handle, ffi.NULL)

    def is_inhabited(self) -> bool:
        """Whether a guest may be running here at this moment."""
        with self._lock:
            guests = list(self._tracees[Use.GUEST])
        return any(tracee.runner is not None and tracee.runner.is_running_in(tracee) for tracee in guests)

    def tids(self) -> tuple[int, ...]:
        """All its threads as the kernel has them now, the leader first."""
        try:
            tids = [int(task.name) for task in Path(f"/proc/{self.pid}/task").iterdir()]
        except OSError:
            return ()
        return tuple(sorted(tids, key=lambda tid: (tid != self.pid, tid)))

    def _all_tracees(self) -> list[Tracee]:
        with self._lock:
            tracees = [tracee for use in Use for tracee in self._tracees[use]]
        return [*tracees, *(t for t in (self._worker, self._leader) if t is not None)]

    # --------------------------------------------------------------------------------------------------------- death

    def bury(self, cause: Cause) -> Cause:
        """Its death has been seen, or is decided now: the cause that holds is the first.

        Kills what still lives; the creator reaps it.  Returns the cause.
        """
        if self.cause is None and cause.signo == signal.SIGKILL and self._vanished(thoroughly=True):
            cause = Cause(Death.TRACER_VANISHED, cause.signo, registers=cause.registers, dump=cause.dump)
        with self._lock:
            first = self.cause is None
            if self.cause is None:
                self.cause = cause
        if first:
            self.kill()
            for tracee in self._all_tracees():
                lib.tracee_lose(tracee.handle)
            self._on_death(self)
        return self.cause

    def bury_unseen(self) -> Cause:
        """A tracee is gone and its last status with it: it was reaped by the creator, or by a stranger's wait."""
        return self.bury(Cause(Death.SIGNALED, signo=int(signal.SIGKILL)))

    def kill(self) -> None:
        """SIGKILL, unless it is reaped and its pid perhaps somebody else's.

        By tgkill: that is what interrupts take anyway, and a filter over this process may well forbid kill(2).
        """
        if not self.reaped.is_set():
            lib.signal_thread(self.pid, self.pid, signal.SIGKILL)

    def answers(self) -> bool:
        """Whether it still does what it is asked.  Creator thread only.

        Nothing that can be looked up is as good: a process that was just sent SIGKILL looks alive until it is
        scheduled.
        """
        try:
            return self.worker.call(lib.SYS_getpid) == self.pid
        except StubDied:
            return False

    def look_for_vanished(self, *, thoroughly: bool = False) -> None:
        """Bury it if a tracing thread ended without its destructor: its tracee is dead, or runs where nobody sees."""
        if self.cause is None and self._vanished(thoroughly=thoroughly):
            self.bury(Cause(Death.TRACER_VANISHED))

    def _vanished(self, *, thoroughly: bool) -> bool:
        with self._lock:
            owners = list(self._owners.items())
        return any(
            self._is_owned_by(tracee, owner)
            and owner.has_vanished(thoroughly=thoroughly)
            # A thread that ends normally parks first: only now does its absence mean anything.
            and self._is_owned_by(tracee, owner)
            for tracee, owner in owners
        )

    def _is_owned_by(self, tracee: Tracee, owner: Owner) -> bool:
        return bool(tracee.handle.state == lib.TRACEE_OWNED and tracee.handle.owner == owner.tid)

    def look_for_stolen_stops(self, waits: Callable[[int], int]) -> None:
        """Bury it if a tracer waits for a stop that somebody else's wait for any child has taken: it would for ever.

        Seen twice with nothing in between: the tracee stands in a stop, and its tracer sleeps in a wait for it.  Seen
        once it may have stopped this moment; and so it may have twice, where it stops often, or where the tracer's
        CPU is slow to come.
        `waits` says what a thread of ours waits for.
        """
        with self._lock:
            owners = list(self._owners.items())
        for tracee, owner in owners:
            if self.cause is None and self._is_owned_by(tracee, owner):
                seen = tracee.handle.stops if waits(owner.tid) == tracee.tid and self._stands(tracee) else None
                if seen is not None and seen == self._waiting.get(tracee):
                    tracee.give_up("its stop was taken by another thread's wait for any child (os.wait, waitpid(-1))")
                self._waiting[tracee] = seen

    def _stands(self, tracee: Tracee) -> bool:
        stat = thread_stat(self.pid, tracee.tid)
        return stat is not None and stat[0] == "t"

    def look_for_death(self) -> None:
        """Bury it if it died while nobody waited for it.  Creator thread only.

        The worker tells: it is a thread like all, and nobody else waits for it.
        """
        if self.cause is None and self._worker is not None:
            status = ffi.new("int *")
            rc = lib.tracee_wait(self._worker.tid, WALL | os.WNOHANG, status)
            if rc < 0 or (rc > 0 and not os.WIFSTOPPED(status[0])):
                self._worker.gone_with(status[0])

    def reap(self) -> bool:
        """Collect its dead threads; True when nothing is left of it.  Creator thread only, never blocks.

        Any thread of a process may wait for what another one traces, so idle tracers need not come.  The leader's
        status comes last, when all others are collected.
        """
        status = ffi.new("int *")
        for tid in reversed(self.tids() or (self.pid,)):
            while lib.tracee_wait(tid, WALL | os.WNOHANG, status) == tid and os.WIFSTOPPED(status[0]):
                pass
        if lib.tracee_wait(self.pid, WALL | os.WNOHANG, status) == -errno.ECHILD:
            self.reaped.set()
        return self.reaped.is_set()
