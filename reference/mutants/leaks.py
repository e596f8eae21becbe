"""Mutants that leak open files or stub threads."""

from __future__ import annotations

import os
from collections.abc import Callable

from worldswitch.reference._core import lib
from worldswitch.reference.birth_plan import StubPlan
from worldswitch.reference.mutants import mutant
from worldswitch.reference.ptrace import PtracePlatform
from worldswitch.reference.stub_creation import StubCreation
from worldswitch.reference.stubprocess import StubProcess, Use
from worldswitch.reference.tracee import Tracee


class _HoardingCreation(StubCreation):
    def make_plan(self, go: int) -> StubPlan:
        """The plan, after opening the file."""
        os.dup(go)
        return super().make_plan(go)


@mutant(
    caught_by=("leaks::stubs_come_and_go_by_the_thousand_and_leave_nothing", "PO08"),
    origin="pitfall 23: files stay open in every stub, and what is opened for a birth is easily forgotten",
)
class KeepsAFileForEachStub(PtracePlatform):
    """Leaves a file open for each new stub."""

    stub_creation_class = _HoardingCreation


class _SpendthriftStub(StubProcess):
    def acquire(self, use: Use, spawn: Callable[[], None], options: int, xstate_length: int) -> Tracee:
        with self._lock:
            self._tracees[use] = [tracee for tracee in self._tracees[use] if tracee.handle.state == lib.TRACEE_OWNED]
        return super().acquire(use, spawn, options, xstate_length)


@mutant(
    caught_by=("TT11", "TT06", "leaks::tracing_threads_end_by_the_thousand_and_leave_nothing"),
    origin="gvisor#3942: a stub's threads grow with every tracing thread there ever was",
)
class NeverReusesThreads(PtracePlatform):
    """Makes a new stub thread for every tracing thread, and never reuses those of ended ones."""

    stub_class = _SpendthriftStub


class _AmnesicStub(StubProcess):
    def _begun_before(self, use: Use) -> Tracee | None:
        return None


@mutant(
    caught_by=("moments::an_exception_at_any_step_of_a_first_switch_loses_no_thread",),
    origin="signal(7): a handler of Python's may raise between any two steps of the interpreter",
)
class LosesThreadsToSignals(PtracePlatform):
    """Forgets a stub thread whose acquisition an exception ends."""

    stub_class = _AmnesicStub
