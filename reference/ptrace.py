"""The reference ptrace platform: address spaces in stub processes, contexts that switch into them.

After gVisor's ptrace platform (pkg/sentry/platform/ptrace).  How it works:

* A page of code, the *stub*, lies near the top of user space (`stub_page`).  A forked child jumps into it, and
  everything else is unmapped: an empty address space remains, with a place to make system calls from (`birth_plan`,
  `stub_creation`, `stubprocess`).
* System calls are *injected* into a stub thread to map files (`tracee`, `address_space`).
* A guest runs in a stub thread under PTRACE_SYSEMU: it stops at each system call, which is never executed (`context`).
* Each thread that calls `switch` traces its own stub thread (`thread_tracees`): handing the request to another thread
  would double its cost.  What must outlive such threads is done by one permanent thread (`creator`).
* That thread also finds and reaps dead stubs (`housekeeping`).  Released ones are kept for reuse (`pool`).

Lock order.  A thread that holds one of these takes only those to the right of it:

    close  >  a context's fault lock  >  an address space's lock  >  a stub's lock  >  `ownership` in tracee.c

A stub's pid lock and the locks of the pool, of housekeeping and of the pinned CPUs are leaves: a thread that holds one
takes no other.  The creator's queue and the interrupt protocol have no lock (`creator`, `interrupts`), because signal
handlers use them.
"""

from __future__ import annotations

import atexit
import os
import signal
import threading
import weakref
from contextlib import ExitStack, suppress
from functools import partial

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
from worldswitch.reference import prerequisites, sigchld, stub_page
from worldswitch.reference._core import lib
from worldswitch.reference.address_space import PtraceAddressSpace
from worldswitch.reference.context import PtraceContext
from worldswitch.reference.cpu_pinning import CpuPinning
from worldswitch.reference.creator import Creator
from worldswitch.reference.flight import record
from worldswitch.reference.housekeeping import Housekeeping
from worldswitch.reference.locks import Lock
from worldswitch.reference.pool import Pool
from worldswitch.reference.refusals import RequestRefused
from worldswitch.reference.stub_creation import StubCreation
from worldswitch.reference.stubprocess import StubProcess, Use
from worldswitch.reference.tracee import Tracee

PLACEMENTS = {
    Placement.FREE: lib.PLACEMENT_FREE,
    Placement.FOLLOW: lib.PLACEMENT_FOLLOW,
    Placement.PIN: lib.PLACEMENT_PIN,
}


class PtracePlatform:
    """A ptrace platform: the contract's face over its parts.  Raises `Unavailable` where it cannot run."""

    # Seams: overridden by mutants, as are `_first_stub`, `acquire`, `take_back_later`, `check_ours`, `quiet_sigchld`,
    # `_on_death` and `die`.
    stub_class = StubProcess
    context_class = PtraceContext
    address_space_class = PtraceAddressSpace
    creator_class = Creator
    stub_creation_class = StubCreation
    pool_class = Pool
    housekeeping_class = Housekeeping
    install_page = staticmethod(stub_page.install)

    def __init__(self, options: Options | None = None) -> None:
        self.options = options or Options()
        if self.options.recorder:
            record(self.options.recorder)
        self._maker = os.getpid()
        #: Operations are refused.
        self._closed = False
        #: A handler that runs in the midst of `close` need not do it again.
        self._is_closing = False
        #: Nothing is left to close.
        self._has_ended = False
        self._has_page = True
        #: Reentrant: a signal handler may close the platform while it is being closed.
        self._close_lock = Lock()
        prerequisites.check_machine()
        self.page = self.install_page()
        self.pinning = CpuPinning()
        self.pool = self.pool_class(self.options.pool_limit)
        self.housekeeping = self.housekeeping_class(self.pool, self.quiet_sigchld)
        self.stub_creation = self.stub_creation_class(
            self.options, self.page, self.stub_class, self.housekeeping.add, self._on_death
        )
        try:
            self.quiet_sigchld()
            self.creator = self.creator_class(self.housekeeping)
        except BaseException:
            self._remove_page()
            self._forget()
            raise
        _living.add(self)
        try:
            self._xstate = self.creator.call(self._first_stub)
        except BaseException:
            self.close()
            raise
        self.xstate_size = len(self._xstate)

    def _first_stub(self) -> bytes:
        """Make a stub and check that it does what the platform needs; returns the initial extended state."""
        try:
            stub = self.stub_creation.birth()
            xstate = prerequisites.check_stub(stub)
        except (HostError, StubDied, RequestRefused) as error:
            raise prerequisites.explain(error) from error
        self.pool.add(stub)
        return xstate

    # --------------------------------------------------------------------------------------------------- the contract

    @property
    def address_range(self) -> tuple[int, int]:
        """What guests may map; see the contract."""
        return prerequisites.lowest_address(), self.page.begin

    def new_address_space(self) -> PtraceAddressSpace:
        """An empty address space, in a recycled stub if there is one; see the contract.  Seed: newSubprocess."""
        self.check_open()
        stub = self.pool.take(lambda pooled: self.creator.call(pooled.answers))
        return self.address_space_class(self, stub or self.creator.call(self._birth))

    def new_context(self, *, resident: bool = False) -> PtraceContext:
        """A context; see the contract."""
        self.check_open()
        return self.context_class(self, resident=resident)

    def new_state(self) -> State:
        """A fresh state; see the contract."""
        return State(self._xstate)

    def close(self) -> None:
        """End every part, even if another part fails; see the contract.

        A second thread waits until the first is done.  After an exception of a signal handler, a second call does what
        is left to do.
        """
        self.check_ours()
        with self._close_lock:
            if self._has_ended or self._is_closing:
                return
            self._closed = self._is_closing = True
            try:
                self._end()
            finally:
                self._is_closing = False
            self._has_ended = True

    def _end(self) -> None:
        """End every part, even if another part fails."""
        with ExitStack() as last_first:
            last_first.callback(self._forget)
            last_first.callback(self.pinning.unpin)
            last_first.callback(self._remove_page)
            last_first.callback(self.creator.close)
            self._end_all()

    def _remove_page(self) -> None:
        """Unmap the stub's page, once: another mapping may have its place afterwards."""
        if self._has_page:
            self._has_page = False
            stub_page.remove(self.page)

    def _end_all(self) -> None:
        try:
            self.creator.call(self.housekeeping.end_all)
        except Released:  # the creator thread has failed
            self.housekeeping.end_all()

    def _forget(self) -> None:
        _living.discard(self)
        if not any(platform._maker == os.getpid() for platform in _living):
            sigchld.heed_stops()

    # ------------------------------------------------------------------------------- what contexts and spaces ask for

    def acquire(self, stub: StubProcess, use: Use) -> Tracee:
        """A thread of the stub for the calling thread; see `services`."""
        self.check_open()
        self.quiet_sigchld()
        spawn = partial(self.creator.call, partial(stub.spawn, use))
        tracee = stub.acquire(use, spawn, stub.plan.trace_options, self.xstate_size)
        placement = self.options.placement
        if placement is Placement.PIN:
            if use is Use.GUEST:
                self.pinning.pin()
            else:
                placement = Placement.FOLLOW  # a thread that only maps files is not pinned for that
        tracee.handle.placement = PLACEMENTS[placement]
        return tracee

    def take_back(self, stub: StubProcess) -> None:
        """Empty a released stub and pool it, or end it; see `services`."""
        self.creator.call(lambda: self._recycle(stub))

    def take_back_later(self, stub: StubProcess) -> None:
        """The same in the background; see `services`."""
        self.creator.post(lambda: self._recycle(stub))

    def check_open(self) -> None:
        """Raises `Released` after close, and `WrongThread` in a forked process."""
        self.check_ours()
        if self._closed:
            raise Released("the platform is closed")

    def check_ours(self) -> None:
        """Raises `WrongThread` in a forked process: its parent traces the stubs, not it."""
        if os.getpid() != self._maker:
            raise WrongThread(f"the platform belongs to process {self._maker}; os.fork does not copy its tracees")

    # ------------------------------------------------------------------------------------------ what holds the parts

    def _birth(self) -> StubProcess:
        """A new stub, unless the platform was closed while the request waited.  Creator thread only."""
        self.check_open()
        return self.stub_creation.birth()

    def _recycle(self, stub: StubProcess) -> None:
        if not self.pool.recycle(stub):
            stub.bury(Cause(Death.CLOSED))
            self.housekeeping.reap([stub])

    def quiet_sigchld(self) -> None:
        """Keep the stops of tracees from running the program's SIGCHLD handler, whenever that is installed."""
        sigchld.ignore_stops()

    def _on_death(self, stub: StubProcess) -> None:
        """A stub was buried: wake the creator thread to reap it."""
        if self.options.death_policy is DeathPolicy.PLATFORM and stub.cause != Cause(Death.CLOSED):
            self.die()
        with suppress(Released):  # the thread ends, and the platform is closed without it
            self.creator.post(lambda: None)

    def die(self) -> None:
        """End this process by SIGKILL, as the seed does when a stub is killed.

        By tgkill, since a filter over this process may forbid kill(2).  The init process of a PID namespace cannot kill
        itself and exits with the status that a shell reports for SIGKILL.
        """
        lib.signal_thread(os.getpid(), threading.get_native_id(), signal.SIGKILL)
        os._exit(128 + signal.SIGKILL)


_living: weakref.WeakSet[PtracePlatform] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    """Close every platform of this process, so that no stub outlives it or is killed while other threads still end."""
    for platform in list(_living):
        if platform._maker == os.getpid():
            platform.close()
