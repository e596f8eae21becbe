"""Mutants of CPU placement: stubs bound once, for good, or with errors; idle tracees that cost time."""

from __future__ import annotations

import errno
import os
from typing import cast

from worldswitch.harness.contract import AddressSpace, Event, HostError, Placement, State
from worldswitch.reference._core import ffi, lib
from worldswitch.reference.context import PtraceContext
from worldswitch.reference.mutants import mutant
from worldswitch.reference.ptrace import PtracePlatform
from worldswitch.reference.stops import WALL
from worldswitch.reference.stubprocess import StubProcess, Use
from worldswitch.reference.tracee import Tracee


@mutant(
    caught_by=("placement::a_guest_follows_its_tracer_to_other_cpus",),
    origin="seed.W24, gvisor f3172c3a1: a stub stuck on the CPU that its tracer had left",
)
class BindsOnce(PtracePlatform):
    """Binds a stub's thread where its tracer first switched, and does not follow it from there."""

    def acquire(self, stub: StubProcess, use: Use) -> Tracee:
        """A thread that will be pinned alone."""
        tracee = super().acquire(stub, use)
        if self.options.placement is Placement.FOLLOW:
            tracee.handle.placement = lib.PLACEMENT_PIN
        return tracee


class _BindingContext(PtraceContext):
    def switch(self, address_space: AddressSpace, state: State) -> Event:
        event = super().switch(address_space, state)
        if self._holder is not None:
            self._holder.handle.cpu = -1  # as if it were not bound
        return event


@mutant(
    caught_by=("placement::no_pinning_outlives_the_tracer",),
    origin="seed.W24, gvisor f3172c3a1: bind() is never undone",
)
class LeavesStubsBound(PtracePlatform):
    """Binds a stub's thread to a CPU and never unbinds it."""

    context_class = _BindingContext


class _InsistentContext(PtraceContext):
    def switch(self, address_space: AddressSpace, state: State) -> Event:
        if self._holder is not None:
            try:
                os.sched_setaffinity(self._holder.tid, {lib.current_cpu()})
            except OSError as error:
                raise HostError(error.errno or errno.EINVAL, "binding the stub") from error
        return super().switch(address_space, state)


@mutant(
    caught_by=("placement::a_guest_gets_on_where_it_may_not_follow",),
    origin="seed.W24: a failure was ignored; here it is an error",
)
class InsistsOnItsCpu(PtracePlatform):
    """Raises an error if a stub may not run on its tracer's CPU."""

    context_class = _InsistentContext


class _InspectingContext(PtraceContext):
    def switch(self, address_space: AddressSpace, state: State) -> Event:
        event = super().switch(address_space, state)
        status = ffi.new("int *")
        for stub in cast(PtracePlatform, self.platform).housekeeping.stubs:
            for tracee in stub._tracees[Use.GUEST]:
                lib.tracee_wait(tracee.tid, WALL | os.WNOHANG, status)
        return event


@mutant(
    caught_by=("placement::idle_tracees_cost_a_switch_nothing",),
    origin="Shadow#1134: a wait that looks at every tracee; seed.W18: each creation looked at every thread",
)
class LooksAtEveryTracee(PtracePlatform):
    """Waits for every tracee at each switch."""

    context_class = _InspectingContext
