"""Mutants of stub creation: no check of the parent, no report of a crash, a lock that switches wait for."""

from __future__ import annotations

import os
import signal
import threading
import time
from dataclasses import replace
from typing import Any

from worldswitch.harness.contract import AddressSpace, Cause, Death, Event, HostError, PlatformError, State, StubDied
from worldswitch.reference._core import ffi, lib
from worldswitch.reference.address_space import PtraceAddressSpace
from worldswitch.reference.birth_plan import StubPlan
from worldswitch.reference.context import PtraceContext
from worldswitch.reference.mutants import mutant
from worldswitch.reference.ptrace import PtracePlatform
from worldswitch.reference.stub_creation import StubCreation
from worldswitch.reference.stubprocess import StubProcess, Use


class _CarelessCreation(StubCreation):
    def make_plan(self, go: int) -> StubPlan:
        """Without the second step."""
        plan = super().make_plan(go)
        return replace(plan, steps=(plan.steps[0], *plan.steps[2:]))


@mutant(caught_by=("LC14",), origin="prctl(2): the signal comes when the parent ends, and not if it has ended before")
class NeverLooksForTheParent(PtracePlatform):
    """Has a stub request the parent-death signal without checking that the parent still lives."""

    stub_creation_class = _CarelessCreation


class _TaciturnCreation(StubCreation):
    def birth(self) -> StubProcess:
        """A stub, or some error."""
        try:
            return super().birth()
        except Exception as error:
            raise HostError(getattr(error, "errno", 0) or 1, "making a stub") from error


@mutant(caught_by=("LC15",), origin="gvisor 91f1ac731, gvisor#1408: a child that crashed was 'unexpected status 139'")
class SaysOnlyThatItFailed(PtracePlatform):
    """Does not say how a new stub ended."""

    stub_creation_class = _TaciturnCreation


class _ReapingCreation(StubCreation):
    def abandon(self, pid: int) -> None:
        os.kill(pid, signal.SIGKILL)
        lib.tracee_wait(pid, 0, ffi.new("int *"))

    def await_entry(self, pid: int, plan: StubPlan, boot: Any) -> PlatformError | None:
        # The first look must find the death.  waitid reports a tracee's stops too, without WSTOPPED.
        news = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT | os.WNOHANG | getattr(lib, "__WALL"))
        if news is not None and news.si_code in (os.CLD_EXITED, os.CLD_KILLED, os.CLD_DUMPED):
            raise HostError(1, "the new stub is dead")
        return super().await_entry(pid, plan, boot)


@mutant(caught_by=("TT08",), origin="kernel.W3: without __WALL, no child but one that announces its end by SIGCHLD")
class ReapsOrdinaryChildrenOnly(PtracePlatform):
    """Waits without __WALL for a child that did not become a stub."""

    stub_creation_class = _ReapingCreation


class _QueueingContext(PtraceContext):
    lock = threading.Lock()

    def switch(self, address_space: AddressSpace, state: State) -> Event:
        with self.lock:  # to look its thread up
            pass
        return super().switch(address_space, state)


@mutant(caught_by=("TT13",), origin="seed.W18, gvisor da6ddd1df: a lock that is held while a stub is made")
class MakesStubsUnderTheLock(PtracePlatform):
    """Holds the lock that every switch takes for a moment while it makes a stub."""

    context_class = _QueueingContext

    def new_address_space(self) -> PtraceAddressSpace:
        """An address space, made under the lock."""
        with _QueueingContext.lock:
            return super().new_address_space()


@mutant(caught_by=("LC06",), origin="the seed's master: all stubs are forked from one, which may die like any other")
class NeedsItsFirstStub(PtracePlatform):
    """Makes no new stub unless the first one answers."""

    def new_address_space(self) -> PtraceAddressSpace:
        """When the first stub answers, that is never if it is dead."""
        if not hasattr(self, "master"):
            self.master = self.pool.stubs[0]
        while self.master.cause is not None or not self.creator.call(self.master.answers):
            time.sleep(0.01)
        return super().new_address_space()


class _FragileStub(StubProcess):
    def spawn(self, use: Use) -> None:
        try:
            super().spawn(use)
        except HostError as error:
            raise StubDied(self.bury(Cause(Death.BROKEN, dump=str(error)))) from error


@mutant(caught_by=("TT12",), origin="seed.W20, gvisor#2490: 'error initializing first thread: try again', and a panic")
class PanicsForWantOfThreads(PtracePlatform):
    """Ends a stub when the host refuses it another thread."""

    stub_class = _FragileStub
