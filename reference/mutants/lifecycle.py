"""Mutants of stub deaths: missed, reported wrongly, not reaped, or spread to other stubs."""

from __future__ import annotations

import errno
import os
import signal
from dataclasses import replace
from typing import Any

from worldswitch.harness.contract import Cause, Death, Event, HostError, Interrupted, State
from worldswitch.reference._core import ffi, lib
from worldswitch.reference.address_space import PtraceAddressSpace
from worldswitch.reference.birth_plan import StubPlan
from worldswitch.reference.context import PtraceContext
from worldswitch.reference.housekeeping import Housekeeping
from worldswitch.reference.mutants import mutant
from worldswitch.reference.ptrace import PtracePlatform
from worldswitch.reference.stops import WALL, StopKind, decode
from worldswitch.reference.stub_creation import StubCreation
from worldswitch.reference.stubprocess import StubProcess
from worldswitch.reference.tracee import ALL_SIGNALS, Tracee


class _DazedContext(PtraceContext):
    def _event_of(self, space: PtraceAddressSpace, tracee: Tracee, state: State, result: int) -> Event | None:
        if result >= lib.SWITCH_STOP and decode(result - lib.SWITCH_STOP).kind is StopKind.DEATH:
            return Interrupted()
        return super()._event_of(space, tracee, state, result)


@mutant(
    caught_by=(
        "LC01",
        "LC04",
        "LC05",
        "lifecycle::the_policy_that_takes_the_platform_along_ends_its_process",
        "chaos::deaths_hit_exactly_those_they_are_meant_for",
        "threads::a_vanished_tracer_is_told_to_all_who_trace_its_stub",
    ),
    origin="any wait status taken for a stop",
)
class TakesDeathForAnInterrupt(PtracePlatform):
    """Returns `Interrupted` when the stub is killed in a switch."""

    context_class = _DazedContext


class _BluntTracee(Tracee):
    def request(self, request: int, address: int = 0, data: Any = 0) -> int:
        data = ffi.cast("void *", data) if isinstance(data, int) else data
        result: int = lib.tracee_request(request, self.tid, address, data)
        if result == -errno.ESRCH:
            raise HostError(errno.ESRCH, f"ptrace request {request:#x}")
        return super().request(request, address, data) if result < 0 else result


class _StubOfBluntTracees(StubProcess):
    tracee_class = _BluntTracee


@mutant(
    caught_by=(
        "LC02",
        "lifecycle::a_stub_killed_at_any_moment_dies_the_same_death",
        "pool::a_dead_stub_does_not_get_into_the_pool",
    ),
    origin="seed.W4: set regs: no such process",
)
class TellsDeathAsAnErrno(PtracePlatform):
    """Reports ptrace's ESRCH for a dead tracee as it is."""

    stub_class = _StubOfBluntTracees


class _UnwatchedStub(StubProcess):
    def look_for_death(self) -> None:
        pass


@mutant(caught_by=("LC02", "LC07"), origin="seed.W5: idle threads' tracers never wait")
class WaitsOnlyForTheBusy(PtracePlatform):
    """Notices a stub's death only at its next use, and does not reap it until then."""

    stub_class = _UnwatchedStub


class _PrivateStub(StubProcess):
    ending = False

    def reap(self) -> bool:
        """Reap the leader only, but everything at the end of the platform."""
        if self.ending:
            return super().reap()
        if lib.tracee_wait(self.pid, WALL | os.WNOHANG, ffi.new("int *")) == -errno.ECHILD:
            self.reaped.set()
        return self.reaped.is_set()


class _HousekeepingOfLeaders(Housekeeping):
    def end_all(self) -> None:
        for stub in self.stubs:
            stub.ending = True  # type: ignore[attr-defined]
        super().end_all()


@mutant(caught_by=("LC04",), origin="seed.W5 and kernel.D4: a leader is not waitable before all its threads")
class LeavesThreadsToTheirTracers(PtracePlatform):
    """Has the creator thread reap a dead stub's leader only, and leaves its threads to their tracers."""

    stub_class = _PrivateStub
    housekeeping_class = _HousekeepingOfLeaders


class _LooseStub(StubProcess):
    def _seized(self, worker: Tracee) -> Tracee:
        worker.claim()
        worker.attach(lib.PTRACE_O_TRACESYSGOOD)
        worker.block_signals(ALL_SIGNALS)
        return worker


class _LooseCreation(StubCreation):
    def make_plan(self, go: int) -> StubPlan:
        """Without the first two steps, the death signal and the look for the parent."""
        plan = super().make_plan(go)
        return replace(plan, steps=plan.steps[2:], trace_options=lib.PTRACE_O_TRACESYSGOOD)

    def trace_leader(self, pid: int) -> None:
        lib.tracee_request(lib.PTRACE_SEIZE, pid, 0, ffi.cast("void *", lib.PTRACE_O_TRACESYSGOOD))


@mutant(caught_by=("LC08", "LC07"), origin="gvisor 7f5d0afe5: stubs escape when the sentry crashes")
class LeavesOrphans(PtracePlatform):
    """Sets neither PDEATHSIG nor PTRACE_O_EXITKILL for stubs."""

    stub_class = _LooseStub
    stub_creation_class = _LooseCreation


@mutant(
    caught_by=("LC12", "filters::a_process_that_may_not_kill_can_still_die_with_its_stub"),
    origin="seed.W3, gvisor d844c7bbb: SIGKILL to itself does nothing to PID 1",
)
class CannotDieAsInit(PtracePlatform):
    """Ends the process that holds the platform by kill(2) alone."""

    def die(self) -> None:
        """Kill, and nothing else."""
        os.kill(os.getpid(), signal.SIGKILL)


@mutant(
    caught_by=("LC17", "LC16"),
    origin="gvisor dc33d71f8, and what 16dba7fa7 fixed in systrap: a single stub's death takes everything down",
)
class TakesAllAlong(PtracePlatform):
    """Ends every stub when one dies."""

    def _on_death(self, stub: StubProcess) -> None:
        for other in list(self.housekeeping.stubs):
            if other.cause is None:
                other.bury(Cause(Death.SIGNALED, signo=int(signal.SIGKILL)))
        super()._on_death(stub)


class _LeaderFirstStub(StubProcess):
    def reap(self) -> bool:
        """The leader, however long it takes."""
        lib.tracee_wait(self.pid, WALL, ffi.new("int *"))
        return super().reap()


@mutant(caught_by=("LC13",), origin="pitfall 10: a leader is not waitable while another thread of it is a zombie")
class WaitsForTheLeader(PtracePlatform):
    """Waits for a dead stub's leader before its other threads."""

    stub_class = _LeaderFirstStub


class _SignalledStub(StubProcess):
    def look_for_death(self) -> None:
        if signal.getsignal(signal.SIGCHLD) is not signal.SIG_IGN:
            super().look_for_death()


@mutant(
    caught_by=("lifecycle::deaths_are_noticed_where_sigchld_is_ignored",),
    origin="a reaper that is driven by SIGCHLD, which the process may ignore",
)
class LearnsOfDeathsBySigchld(PtracePlatform):
    """Notices the deaths of idle stubs only as long as SIGCHLD is not ignored."""

    stub_class = _SignalledStub
