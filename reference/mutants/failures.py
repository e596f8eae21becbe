"""Mutants that fail to give back what a failed operation took."""

from __future__ import annotations

import os
from collections.abc import Callable

from worldswitch.harness.contract import Cause, Death, HostError, Options
from worldswitch.reference import stub_page
from worldswitch.reference._core import lib
from worldswitch.reference.address_space import PtraceAddressSpace
from worldswitch.reference.context import PtraceContext
from worldswitch.reference.creator import Creator
from worldswitch.reference.housekeeping import Housekeeping
from worldswitch.reference.mutants import mutant
from worldswitch.reference.pool import Pool
from worldswitch.reference.ptrace import PtracePlatform
from worldswitch.reference.stub_creation import StubCreation
from worldswitch.reference.stubprocess import StubProcess, Use
from worldswitch.reference.tracee import Tracee


class _ResentfulAddressSpace(PtraceAddressSpace):
    errors: list[HostError] = []  # noqa: RUF012 - of all address spaces

    def _call(self, name: str, number: int, *arguments: int) -> int:
        try:
            return super()._call(name, number, *arguments)
        except HostError as error:
            self.errors.append(error)
            raise


@mutant(caught_by=("PO09",), origin="a log of errors, which keeps what their tracebacks refer to")
class KeepsEveryError(PtracePlatform):
    """Keeps each refusal of the kernel."""

    address_space_class = _ResentfulAddressSpace


class _MourningHousekeeping(Housekeeping):
    def __init__(self, pool: Pool, quiet_sigchld: Callable[[], None]) -> None:
        super().__init__(pool, quiet_sigchld)
        self.ever: list[StubProcess] = []

    def add(self, stub: StubProcess) -> None:
        """Add it to the list of all there ever were, too."""
        self.ever.append(stub)
        super().add(stub)


@mutant(caught_by=("PO10",), origin="seed.W15: a list of stubs that only grows")
class NeverForgetsAStub(PtracePlatform):
    """Keeps the dead stubs in the table of all stubs."""

    housekeeping_class = _MourningHousekeeping


class _Cemetery(Pool):
    def forget_dead(self) -> None:
        pass


@mutant(caught_by=("PO10",), origin="seed.I10: a dead stub is never pooled, and one that dies in the pool stays")
class KeepsTheDeadInThePool(PtracePlatform):
    """Removes a stub that died in the pool only when it would be handed out."""

    pool_class = _Cemetery


@mutant(caught_by=("PO10",), origin="seed.W19: a table by thread, from which nothing is removed")
class KeepsAThreadsTracees(PtracePlatform):
    """Keeps every stub thread that was ever acquired."""

    def __init__(self, options: Options | None = None) -> None:
        self.acquired: list[Tracee] = []
        super().__init__(options)

    def acquire(self, stub: StubProcess, use: Use) -> Tracee:
        """A thread, which is added to the table."""
        self.acquired.append(super().acquire(stub, use))
        return self.acquired[-1]


class _LeakyCreation(StubCreation):
    def birth(self) -> StubProcess:
        """A stub; its pipe stays open if there is none."""
        kept = os.pipe()
        stub = super().birth()
        for end in kept:
            os.close(end)
        return stub


@mutant(caught_by=("PO12", "PO13"), origin="a close that is skipped by an exception")
class LeaksThePipeOfAFailedBirth(PtracePlatform):
    """Leaves the pipe to a new stub open if the stub cannot be made."""

    stub_creation_class = _LeakyCreation


class _FirstThingsLastCreation(StubCreation):
    def birth(self) -> StubProcess:
        """A stub; a copy of a descriptor is closed only after success."""
        try:
            first = os.dup(0)
        except OSError as error:
            raise HostError(error.errno or 0, "a descriptor for a new stub") from error
        try:
            stub = super().birth()
        except HostError as error:
            if not isinstance(error.__cause__, OSError):
                os.close(first)
            raise
        os.close(first)
        return stub


@mutant(caught_by=("PO11",), origin="pipe(2): two descriptors, of which the second may be one too many")
class LeaksTheFirstOfTwoDescriptors(PtracePlatform):
    """Leaves a descriptor open if the next one cannot be opened."""

    stub_creation_class = _FirstThingsLastCreation


class _CallousStub(StubProcess):
    is_finished = False

    def adopt_leader(self) -> None:
        super().adopt_leader()
        self.is_finished = True

    def bury(self, cause: Cause) -> Cause:
        return super().bury(cause) if self.is_finished or cause.death is not Death.BROKEN else cause


@mutant(caught_by=("PO12",), origin="seed.createStub: the stub of which no thread can be made, in no list")
class AbandonsHalfMadeStubs(PtracePlatform):
    """Leaves a new stub that cannot be given its first thread where it is."""

    stub_class = _CallousStub


class _LateCreation(StubCreation):
    def birth(self) -> StubProcess:
        """A stub, which is looked after when it is finished."""
        look_after, self._on_birth = self._on_birth, lambda _: None
        try:
            stub = super().birth()
        finally:
            self._on_birth = look_after
        look_after(stub)
        return stub


@mutant(caught_by=("PO12", "PO13"), origin="seed.W5: only what is in the list is waited for")
class LooksAfterFinishedStubsOnly(PtracePlatform):
    """Adds a new stub to the table of stubs when it is finished, so that one that dies before is not reaped."""

    stub_creation_class = _LateCreation


@mutant(caught_by=("PO14",), origin="seed.stubStart: the page that the constructor maps first")
class KeepsItsPage(PtracePlatform):
    """Leaves the stub's page mapped in this process after `close`."""

    def close(self) -> None:
        """Close, and map the page again."""
        closed = self._closed
        super().close()
        if not closed:
            lib.stub_install(self.page.begin, stub_page.PAGE)


@mutant(caught_by=("PO14",), origin="a thread that is started before what may fail")
class LeavesItsThread(PtracePlatform):
    """Leaves the platform's own thread running if no stub can be made."""

    def __init__(self, options: Options | None = None) -> None:
        self.is_complete = False
        super().__init__(options)
        self.is_complete = True

    def close(self) -> None:
        """Close what was completely made."""
        if self.is_complete:
            super().close()


@mutant(caught_by=("LC18",), origin="a table of contexts, as the seed's Forwarder has, without a removal")
class KeepsEveryContext(PtracePlatform):
    """Keeps every context it ever made."""

    def __init__(self, options: Options | None = None) -> None:
        self.contexts: list[PtraceContext] = []
        super().__init__(options)

    def new_context(self, *, resident: bool = False) -> PtraceContext:
        """A context, which is added to the table."""
        self.contexts.append(super().new_context(resident=resident))
        return self.contexts[-1]


class _IdleHoursCreator(Creator):
    def _serve_until_closed(self) -> None:
        pause = 0.0
        while self._serve(pause):
            if self._requests.empty():
                pause = self._housekeeper.housekeep()


@mutant(caught_by=("LC19",), origin="seed.W5: a look at the dead that is put off while there is work")
class TidiesWhenIdle(PtracePlatform):
    """Looks for dead stubs only when no request waits."""

    creator_class = _IdleHoursCreator
