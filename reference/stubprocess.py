"""One stub process: its threads, the threads that trace them, and its death.

The group leader is only an anchor: traced with PTRACE_O_EXITKILL by the creator thread, so that the whole process ends
with the platform.  It stands in a stop and is never resumed or waited for after its birth: waiting for a leader blocks
while any other thread of its group is unreaped.  Further threads are cloned by the *worker*, the creator thread's own
injection thread.

Threads for guests and threads for injected calls are kept apart.  Each belongs to the tracing thread that acquired it
until that thread ends (the tracee is parked, and any thread may acquire it) or vanishes (the stub is killed).

No PTRACE_O_TRACEEXIT: with it a killed process lingers until *every* thread's tracer has resumed it, and the tracer of
an idle thread may not do so for hours.  Without it the creator thread can reap all of them.  The price is that the
registers in a `Cause` are the last ones known and not those at the exit.  Seed: subprocess, threadPool.
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
from worldswitch.reference.birth_plan import StubPlan
from worldswitch.reference.filter import THREAD_FLAGS
from worldswitch.reference.locks import Lock
from worldswitch.reference.stops import WALL
from worldswitch.reference.stub_page import StubPage
from worldswitch.reference.tracee import ALL_SIGNALS, MAX_ERRNO, Tracee
from worldswitch.reference.tracing_threads import TracingThread, thread_stat


class Use(enum.Enum):
    """The use of a stub thread, which never changes."""

    GUEST = "guest"
    CALL = "call"


class StubProcess:
    """A stub process.  The creator thread makes it (`stub_creation`), and all threads use it."""

    # Seams: overridden by mutants, as are `acquire`, `spawn`, `empty`, `unmap_all`, `segments_to`, `bury`, `kill`,
    # `reap` and the methods whose names begin with `look_for_`.
    tracee_class = Tracee

    def __init__(self, pid: int, page: StubPage, plan: StubPlan, on_death: Callable[[StubProcess], None]) -> None:
        self.pid = pid
        self.page = page
        self.plan = plan
        self.key = plan.key
        self.cause: Cause | None = None
        self.reaped = threading.Event()
        self._on_death = on_death
        self._maker = os.getpid()
        self._lock = Lock()
        #: Held while the leader is reaped, which frees the pid, and while a signal is sent.  Reentrant: a signal
        #: handler may interrupt a context in the middle of `kill`.
        self._pid_lock = Lock()
        self._tracees: dict[Use, list[Tracee]] = {use: [] for use in Use}
        self._owners: dict[Tracee, TracingThread] = {}
        #: For each tracee that stood in a stop while its tracer waited, when last looked at: the number of that stop.
        self._waiting: dict[Tracee, int | None] = {}
        self._segments = ffi.new("struct registers *")
        self._leader: Tracee | None = None
        self._worker: Tracee | None = None

    @property
    def is_ours(self) -> bool:
        """False in a forked process: it has the object, but does not trace the threads."""
        return os.getpid() == self._maker

    # ------------------------------------------------------------------------------------------------------- birth

    def adopt_leader(self) -> None:
        """Take over the leader at its first trap: capture its segments, empty its memory, clone the worker.

        Creator thread only.  Seed: grabInitRegs, newSubprocess.
        """
        leader = self._leader = self.tracee_class(self, self.pid)
        ffi.memmove(self._segments, leader.registers(), ffi.sizeof("struct registers"))
        x86_64.keep_segments(self._segments)
        self.segments_to(leader.handle)
        # The kernel unblocks a signal that it forces, such as this trap's.
        leader.block_signals(ALL_SIGNALS)
        self.unmap_all(leader)
        tid = self._checked("clone", leader.call(lib.SYS_clone, THREAD_FLAGS))
        self._worker = self._seized(self.tracee_class(self, tid))

    def segments_to(self, handle: Any) -> None:
        """Give a tracee the segment selectors that this stub's threads have."""
        handle.segments = self._segments[0]

    def _seized(self, worker: Tracee) -> Tracee:
        worker.claim()
        worker.attach(self.plan.trace_options | lib.PTRACE_O_EXITKILL)
        worker.block_signals(ALL_SIGNALS)
        worker.registers()  # for the dump, in case it dies before its first call
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
        """Unmap the last tenant's memory.  Creator thread only.  Raises `HostError`, `StubDied`."""
        self.unmap_all(self.worker)

    # --------------------------------------------------------------------------------------------------- its threads

    @property
    def worker(self) -> Tracee:
        """The creator thread's own injection thread.  Raises `StubDied` if there is none, or no more."""
        if self._worker is None or self.cause is not None:
            raise StubDied(self.cause or Cause(Death.BROKEN))
        return self._worker

    def spawn(self, use: Use) -> None:
        """Create a parked, untraced thread, unless an abandoned request already left one.

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

        `spawn` makes it on the creator thread, where no signal handler can raise and lose it.  What an exception leaves
        half done here is found by the next `acquire` of the same thread.

        Raises `StubDied`, and what `spawn` raises.  Seed: lookupOrCreate.
        """
        self.look_for_vanished(thoroughly=True)
        if self.cause is not None:
            raise StubDied(self.cause)
        while (tracee := self._begun_before(use) or self._claim_parked(use)) is None:
            spawn()
        with self._lock:
            self._owners[tracee] = TracingThread.current()
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
        """Invalidate the fast path: the next switch here checks the lease again."""
        with self._lock:
            for tracee in self._tracees[Use.GUEST]:
                lib.tracee_admit(tracee.handle, ffi.NULL)

    def is_inhabited(self) -> bool:
        """Whether a guest may be running here now."""
        with self._lock:
            guests = list(self._tracees[Use.GUEST])
        return any(tracee.runner is not None and tracee.runner.is_running_in(tracee) for tracee in guests)

    def tids(self) -> tuple[int, ...]:
        """The ids of its threads in the kernel now, the leader first; none once it is reaped."""
        try:
            tids = [int(task.name) for task in Path(f"/proc/{self.pid}/task").iterdir()]
        except OSError:
            return ()
        return () if self.reaped.is_set() else tuple(sorted(tids, key=lambda tid: (tid != self.pid, tid)))

    def _all_tracees(self) -> list[Tracee]:
        with self._lock:
            tracees = [tracee for use in Use for tracee in self._tracees[use]]
        return [*tracees, *(t for t in (self._worker, self._leader) if t is not None)]

    # --------------------------------------------------------------------------------------------------------- death

    def bury(self, cause: Cause) -> Cause:
        """Record its death, which was seen or is decided here; returns the cause, which is the first that was given.

        Kills what still lives; the creator thread reaps it.
        """
        if self.cause is None and cause.signo == signal.SIGKILL and self._vanished(thoroughly=True):
            cause = Cause(Death.TRACER_VANISHED, cause.signo, registers=cause.registers, dump=cause.dump)
        with self._lock:
            first = self.cause is None
            if self.cause is None:
                self.cause = cause
        if first:
            self._end()
            self._on_death(self)
        return self.cause

    def _end(self) -> None:
        """Kill it, and have its tracers use its thread ids no more.  May be repeated."""
        self.kill()
        for tracee in self._all_tracees():
            lib.tracee_lose(tracee.handle)

    def bury_unseen(self) -> Cause:
        """Record a death whose status the creator thread collected, or another thread's wait for any child."""
        return self.bury(Cause(Death.SIGNALED, signo=int(signal.SIGKILL)))

    def kill(self) -> None:
        """Send SIGKILL, unless the process is reaped: by us, or by another thread's wait for any child."""
        with self._pid_lock:
            if not self.reaped.is_set() and _is_child(self.pid):
                self.signal(self.pid, signal.SIGKILL)

    def signal(self, tid: int, signo: int) -> None:
        """Send a signal to one of its threads, unless the process is reaped: its pid may be another's then.

        While the leader is not reaped, no other process has its pid, so tgkill finds no other thread, even if `tid` is
        given out again.  A pidfd would need no lock, but costs a descriptor for each stub, of which there may be
        thousands.  By tgkill, since a filter over this process may forbid kill(2).
        """
        with self._pid_lock:
            if not self.reaped.is_set():
                lib.signal_thread(self.pid, tid, signo)

    def answers(self) -> bool:
        """Whether it still makes system calls.  Creator thread only.

        A look at /proc is not enough: a process that was just sent SIGKILL looks alive until it is scheduled.
        """
        try:
            return self.worker.call(lib.SYS_getpid) == self.pid
        except StubDied:
            return False

    def look_for_vanished(self, *, thoroughly: bool = False) -> None:
        """Bury it if a tracing thread ended without its destructor: its tracee is dead, or runs untraced."""
        if self.cause is None and self._vanished(thoroughly=thoroughly):
            self.bury(Cause(Death.TRACER_VANISHED))

    def _vanished(self, *, thoroughly: bool) -> bool:
        with self._lock:
            owners = list(self._owners.items())
        return any(
            self._is_owned_by(tracee, owner)
            and owner.has_vanished(thoroughly=thoroughly)
            # A thread that ends normally parks its tracees first, so its absence counts only if they are not parked.
            and self._is_owned_by(tracee, owner)
            for tracee, owner in owners
        )

    def _is_owned_by(self, tracee: Tracee, owner: TracingThread) -> bool:
        return bool(tracee.handle.state == lib.TRACEE_OWNED and tracee.handle.owner == owner.tid)

    def look_for_stolen_stops(self, waits: Callable[[int], int]) -> None:
        """Bury it if its tracer waits for ever, because another thread's wait for any child took the stop.

        The evidence is the same stop, seen in two looks: the tracee stands in it, and its tracer sleeps in a wait for
        that tracee.  One look is not enough: the tracee may have stopped just then.  Two looks at different stops are
        not either: a tracee that stops often, or whose tracer is slow to run, gets on.
        `waits` maps a thread id of this process to the child that the thread waits for.
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
        """Bury it if it died while no tracer waited for it.  Creator thread only.

        The worker's status shows it: it dies with all other threads, and only this thread waits for it.
        """
        if self.cause is None and self._worker is not None:
            status = ffi.new("int *")
            rc = lib.tracee_wait(self._worker.tid, WALL | os.WNOHANG, status)
            if rc < 0 or (rc > 0 and not os.WIFSTOPPED(status[0])):
                self._worker.gone_with(status[0])

    def reap(self) -> bool:
        """Collect its dead threads; returns True when nothing is left of it.  Creator thread only, never blocks.

        Any thread of a process may wait for what another one traces, so idle tracers are not needed.  The leader's
        status comes last, when all others are collected.
        """
        self._end()  # again: another thread may be in the middle of `bury`, or an exception ended it there
        for tid in self.tids()[:0:-1]:
            _collect(tid)
        with self._pid_lock:
            if not self.reaped.is_set() and _collect(self.pid) == -errno.ECHILD:
                self.reaped.set()
        return self.reaped.is_set()


def _collect(tid: int) -> int:
    """Collect all statuses of a thread; returns 0 if it lives, -ECHILD if it is reaped."""
    status = ffi.new("int *")
    while (rc := int(lib.tracee_wait(tid, WALL | os.WNOHANG, status))) > 0:
        pass
    return rc


def _is_child(pid: int) -> bool:
    """Whether a process is an unreaped child of this one."""
    try:
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT | os.WNOHANG | WALL)
    except ChildProcessError:
        return False
    except OSError:  # a filter over this process may forbid the question
        return True
    return True
