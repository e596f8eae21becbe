"""The reference ptrace platform: address spaces in stub processes, contexts that switch into them.

After gVisor's ptrace platform (pkg/sentry/platform/ptrace).  How it works:

* A page of code, the *stub*, lies near the top of user space (`page`).  A forked child jumps into it, and everything
  else is unmapped: what is left is an empty address space with a place to make system calls from (`plan`,
  `stubprocess`).
* System calls are *injected* into a stub thread to map files (`tracee`, `address_space`).
* A guest runs in a stub thread under PTRACE_SYSEMU: it stops at each system call, which is never executed (`context`).
* Each thread that calls `switch` traces its own stub thread, directly; handing the request to another thread would
  double its cost.  What must outlive such threads is done by one permanent thread (`creator`).

Lock order: a stub's lock, then a context's fault lock; the pool's lock is held alone.
"""

from __future__ import annotations

import atexit
import errno
import mmap
import os
import signal
import threading
import time
import weakref
from functools import cache, partial
from pathlib import Path
from typing import Any

from worldswitch.harness.contract import (
    Cause,
    Death,
    DeathPolicy,
    HostError,
    Options,
    Placement,
    Released,
    State,
    StubDied,
    WrongThread,
)
from worldswitch.reference import page, prerequisites
from worldswitch.reference._core import ffi, lib
from worldswitch.reference.address_space import PtraceAddressSpace
from worldswitch.reference.context import PtraceContext
from worldswitch.reference.creator import ROUND, Creator
from worldswitch.reference.filter import program
from worldswitch.reference.flight import record
from worldswitch.reference.owners import waits_for
from worldswitch.reference.plan import StubPlan, standard_plan
from worldswitch.reference.stops import WALL, StopKind, decode
from worldswitch.reference.stubprocess import StubProcess, Use
from worldswitch.reference.tracee import Tracee

#: How soon a child on its way into the stub is looked at again, in seconds.
BIRTH_ROUND = 0.0001

#: So many stubs are looked after at a time, the others in the next rounds: it takes the interpreter's lock, which
#: switches need, for some 10 us each.
LOOKED_AFTER = 64

#: How soon the dying are looked at again, and how long their end is waited for, in seconds.
DYING_ROUND = 0.002
LAST_WAIT = 5.0

PLACEMENTS = {
    Placement.FREE: lib.PLACEMENT_FREE,
    Placement.FOLLOW: lib.PLACEMENT_FOLLOW,
    Placement.PIN: lib.PLACEMENT_PIN,
}


class PtracePlatform:
    """A ptrace platform.  Raises `Unavailable` where it cannot run."""

    #: How long a new stub may take to its first instruction, in seconds.  One whose control group is frozen, or that
    #: somebody keeps stopped, comes never, and all others would wait for it.
    birth_patience = 10.0

    # What mutants replace.
    stub_class = StubProcess
    context_class = PtraceContext
    address_space_class = PtraceAddressSpace
    creator_class = Creator
    install_page = staticmethod(page.install)

    def __init__(self, options: Options | None = None) -> None:
        self.options = options or Options()
        if self.options.recorder:
            record(self.options.recorder)
        self._maker = os.getpid()
        self._closed = False
        self._lock = threading.Lock()
        self._pool: list[StubProcess] = []
        self._stubs: list[StubProcess] = []
        self._pinned: dict[int, set[int]] = {}
        self._next_look = 0.0
        prerequisites.check_machine()
        self.quiet_sigchld()
        self.page = self.install_page()
        try:
            self.creator = self.creator_class(self)
        except BaseException:
            page.remove(self.page)
            raise
        try:
            self._xstate = self.creator.call(self._first_stub)
        except BaseException:
            self.close()
            raise
        self.xstate_size = len(self._xstate)
        _living.add(self)

    def _first_stub(self) -> bytes:
        """Make a stub and see whether it does what all depends on; the initial extended state."""
        try:
            stub = self.birth()
            xstate = prerequisites.check_stub(stub)
        except (HostError, StubDied) as error:
            raise prerequisites.explain(error) from error
        self._pool.append(stub)
        return xstate

    # --------------------------------------------------------------------------------------------------- the contract

    @property
    def address_range(self) -> tuple[int, int]:
        """What guests may map; see the contract."""
        return prerequisites.lowest_address(), self.page.begin

    def new_address_space(self) -> PtraceAddressSpace:
        """An empty address space, recycled if there is one; see the contract.  Seed: newSubprocess."""
        self.check_open()
        return self.address_space_class(self, self._from_pool() or self.creator.call(self.birth))

    def new_context(self, *, resident: bool = False) -> PtraceContext:
        """A context; see the contract."""
        self.check_open()
        return self.context_class(self, resident=resident)

    def new_state(self) -> State:
        """A fresh state; see the contract."""
        return State(self._xstate)

    def close(self) -> None:
        """End everything; see the contract."""
        self.check_ours()
        if not self._closed:
            self._closed = True
            self.creator.call(self._end_all)
            self.creator.close()
            page.remove(self.page)
            self._unpin()

    # ------------------------------------------------------------------------------------------------- making stubs

    def make_plan(self, go: int) -> StubPlan:
        """What a new stub does on its way."""
        options = self.options
        filter_program = program(self.page.begin, options.injectable)
        return standard_plan(filter_program, go, os.getpid(), options.exit_kill, options.cpuid_faults)

    def birth(self) -> StubProcess:
        """Fork a stub process.  Creator thread only.  Raises `HostError`, `StubDied`, `Unavailable`.

        Seed: createStub, forkStub.
        """
        if self._closed:
            raise Released("the platform is closed")
        try:
            go_read, go_write = os.pipe()
        except OSError as error:
            raise HostError(error.errno or 0, "a pipe to a new stub") from error
        try:
            stub = self._fork(self.make_plan(go_read), go_write)
        finally:
            os.close(go_read)
            os.close(go_write)
        with self._lock:
            self._stubs.append(stub)
        try:
            stub.adopt_leader()
        except BaseException as error:
            stub.bury(Cause(Death.BROKEN, dump=f"it could not be finished: {error}"))
            raise
        return stub

    def _fork(self, plan: StubPlan, go: int) -> StubProcess:
        steps, kept = plan.encode()
        memory = mmap.mmap(-1, mmap.PAGESIZE)
        boot = ffi.from_buffer("struct boot *", memory)
        pid = lib.stub_fork(plan.clone_flags, steps, len(plan.steps), boot, self.page.entry)
        if pid < 0:
            raise HostError(-pid, "clone of a stub process")
        try:
            self._trace_leader(pid)
            os.write(go, b"g")
            self._await_entry(pid, plan, boot)
        except BaseException:
            self._abandon(pid)
            raise
        finally:
            del boot, kept
        return self.stub_class(pid, self.page, plan, self._on_death)

    def _abandon(self, pid: int) -> None:
        """End a child that is not a stub yet; it may be dead and reaped."""
        give_up = time.monotonic() + LAST_WAIT
        if lib.signal_thread(pid, pid, signal.SIGKILL) == 0:
            while lib.tracee_wait(pid, WALL | os.WNOHANG, ffi.new("int *")) == 0 and time.monotonic() < give_up:
                time.sleep(BIRTH_ROUND)

    def _trace_leader(self, pid: int) -> None:
        options = ffi.cast("void *", lib.PTRACE_O_EXITKILL | lib.PTRACE_O_TRACESYSGOOD)
        rc = lib.tracee_request(lib.PTRACE_SEIZE, pid, 0, options)
        if rc < 0 and not _is_dead(pid):  # of one that is, the wait for its first stop tells
            raise prerequisites.refused("PTRACE_SEIZE", -rc)

    def _await_entry(self, pid: int, plan: StubPlan, boot: Any) -> None:
        """Wait for the trap at the stub's first instruction, past the signals of strangers."""
        status = ffi.new("int *")
        give_up = time.monotonic() + self.birth_patience
        while True:
            if lib.tracee_wait(pid, WALL | os.WNOHANG, status) == 0:
                if time.monotonic() > give_up:
                    raise HostError(errno.ETIMEDOUT, f"a new stub process does not get past {plan.where(boot.step)}")
                time.sleep(BIRTH_ROUND)
                continue
            stop = decode(status[0])
            if stop.kind is StopKind.DEATH:
                raise prerequisites.stillborn(plan, boot, stop)
            if stop.kind is StopKind.SIGNAL and stop.signo == signal.SIGTRAP:
                return
            lib.tracee_request(lib.PTRACE_CONT, pid, 0, ffi.NULL)

    def acquire(self, stub: StubProcess, use: Use) -> Tracee:
        """A thread of the stub for the calling thread.  Raises `StubDied`, `HostError`, `Released`, `WrongThread`."""
        self.check_open()
        self.quiet_sigchld()
        spawn = partial(self.creator.call, partial(stub.spawn, use))
        tracee = stub.acquire(use, spawn, stub.plan.trace_options, self.xstate_size)
        placement = self.options.placement
        if placement is Placement.PIN:
            if use is Use.GUEST:
                self._pin()
            else:
                placement = Placement.FOLLOW  # who only maps files is not held to a CPU for that
        tracee.handle.placement = PLACEMENTS[placement]
        return tracee

    def quiet_sigchld(self) -> None:
        """Keep a handler for SIGCHLD, whoever installs it and when, from running at each stop of a tracee."""
        rc = lib.sigchld_ignore_stops()
        if rc < 0:
            raise HostError(-rc, "setting SA_NOCLDSTOP on the action for SIGCHLD")

    def check_open(self) -> None:
        """Raises `Released` after close, and `WrongThread` in a forked process."""
        self.check_ours()
        if self._closed:
            raise Released("the platform is closed")

    def check_ours(self) -> None:
        """Raises `WrongThread` in a forked process, whose parent traces, not it."""
        if os.getpid() != self._maker:
            raise WrongThread(f"the platform belongs to process {self._maker}; its tracees did not come over os.fork")

    # ----------------------------------------------------------------------------------------------------- the pool

    def _from_pool(self) -> StubProcess | None:
        """The stub released last that is still good; those that died meanwhile are left to the creator."""
        while True:
            with self._lock:
                if not self._pool:
                    return None
                stub = self._pool.pop()
            stub.look_for_vanished(thoroughly=True)
            if self.creator.call(stub.answers):
                return stub

    def take_back(self, stub: StubProcess) -> None:
        """Empty a released stub and pool it, or end it.  Raises `HostError` if it could not be emptied."""
        self.creator.call(lambda: self._recycle(stub))

    def take_back_later(self, stub: StubProcess) -> None:
        """The same, in the background."""
        self.creator.post(lambda: self._recycle(stub))

    def _recycle(self, stub: StubProcess) -> None:
        if stub.cause is not None:
            return
        try:
            stub.empty()
        except StubDied:
            return
        except HostError as error:
            # Something of the last tenant is still mapped: nobody may have it.
            stub.bury(Cause(Death.BROKEN, dump=str(error)))
            raise
        with self._lock:
            keep = len(self._pool) < self.options.pool_limit
            if keep:
                self._pool.append(stub)
        if not keep:
            stub.bury(Cause(Death.CLOSED))
            self._reap([stub])

    # --------------------------------------------------------------------------------------------------------- death

    def housekeep(self) -> float:
        """See the creator: bury what died unseen, reap; when to come again, in seconds.

        It is called after each request too, and must not make those dearer the more stubs there are.
        """
        if time.monotonic() >= self._next_look:
            self._look_after(self._next_stubs())
            self._next_look = time.monotonic() + ROUND
        with self._lock:
            dead = [stub for stub in self._stubs if stub.cause is not None]
        dying = [stub for stub in dead if not stub.reap()]
        if dead:
            with self._lock:
                self._stubs = [stub for stub in self._stubs if not stub.reaped.is_set()]
                self._pool = [stub for stub in self._pool if stub.cause is None]
        return DYING_ROUND if dying else max(self._next_look - time.monotonic(), 0.0)

    def _next_stubs(self) -> list[StubProcess]:
        """Some stubs, each in its turn."""
        with self._lock:
            some = self._stubs[:LOOKED_AFTER]
            self._stubs = self._stubs[LOOKED_AFTER:] + some
        return some

    def _look_after(self, stubs: list[StubProcess]) -> None:
        self.quiet_sigchld()
        waits = cache(waits_for)  # a thread traces in many stubs, and is looked at once
        for stub in stubs:
            stub.look_for_death()
            stub.look_for_vanished()
            stub.look_for_stolen_stops(waits)

    def _on_death(self, stub: StubProcess) -> None:
        if self.options.death_policy is DeathPolicy.PLATFORM and stub.cause != Cause(Death.CLOSED):
            self.die()
        if not self._closed:
            self.creator.post(lambda: None)

    def die(self) -> None:
        """End this process by SIGKILL, as the seed does when a stub is killed.

        By tgkill, since a filter over this process may forbid kill(2).  The init process of a PID namespace cannot
        kill itself; for it the status says what happened.
        """
        lib.signal_thread(os.getpid(), threading.get_native_id(), signal.SIGKILL)
        os._exit(128 + signal.SIGKILL)

    def _end_all(self) -> None:
        with self._lock:
            stubs = list(self._stubs)
        for stub in stubs:
            stub.bury(Cause(Death.CLOSED))
        self._reap(stubs)

    def _reap(self, stubs: list[StubProcess]) -> None:
        """Reap the dying, within bounds.  Creator thread only."""
        give_up = time.monotonic() + LAST_WAIT
        while not _all_reaped(stubs) and time.monotonic() < give_up:
            time.sleep(DYING_ROUND / 4)

    # ------------------------------------------------------------------------------------------------------ placement

    def _pin(self) -> None:
        """Keep the calling thread on the CPU it is on, until close."""
        tid = threading.get_native_id()
        if tid not in self._pinned:
            self._pinned[tid] = os.sched_getaffinity(0)
            os.sched_setaffinity(0, {lib.current_cpu()})

    def _unpin(self) -> None:
        for tid, cpus in self._pinned.items():
            if Path(f"/proc/self/task/{tid}").exists():
                os.sched_setaffinity(tid, cpus)


def _is_dead(pid: int) -> bool:
    """A child of ours has ended; its status stays to be collected."""
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT | os.WNOHANG | WALL) is not None


def _all_reaped(stubs: list[StubProcess]) -> bool:
    """Reap each, not only up to the first that is not done."""
    return sum(not stub.reap() for stub in stubs) == 0


_living: weakref.WeakSet[PtracePlatform] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    """Nothing outlives the platform, and no stub is killed by surprise while threads still end."""
    for platform in list(_living):
        if platform._maker == os.getpid():
            platform.close()
