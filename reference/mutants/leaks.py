"""Mutants that grow: by open files, by threads of stubs."""

from __future__ import annotations

import os

from worldswitch.reference.mutants import mutant
from worldswitch.reference.plan import StubPlan
from worldswitch.reference.ptrace import PtracePlatform
from worldswitch.reference.stubprocess import StubProcess, Use
from worldswitch.reference.tracee import Tracee


@mutant(
    caught_by=("leaks::stubs_come_and_go_by_the_thousand_and_leave_nothing", "PO08"),
    origin="pitfall 23: files stay open in every stub, and what is opened for a birth is easily forgotten",
)
class KeepsAFileForEachStub(PtracePlatform):
    """Leaves a file open for each stub that it makes."""

    def make_plan(self, go: int) -> StubPlan:
        """A plan, and the file."""
        os.dup(go)
        return super().make_plan(go)


class _SpendthriftStub(StubProcess):
    def _claim_parked(self, use: Use) -> Tracee | None:
        return None


@mutant(
    caught_by=("TT11", "TT06", "leaks::tracing_threads_end_by_the_thousand_and_leave_nothing"),
    origin="gvisor#3942: a stub's threads grow with every tracing thread there ever was",
)
class NeverReusesThreads(PtracePlatform):
    """Makes a new stub thread for every tracing thread, and lets those of ended ones lie."""

    stub_class = _SpendthriftStub
