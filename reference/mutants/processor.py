"""Mutants of features that some processors lack."""

from __future__ import annotations

from dataclasses import replace

from worldswitch.harness.contract import AddressSpace, Event, State
from worldswitch.reference.birth_plan import ARCH_SET_CPUID, StubPlan
from worldswitch.reference.context import PtraceContext
from worldswitch.reference.mutants import mutant
from worldswitch.reference.ptrace import PtracePlatform
from worldswitch.reference.stub_creation import StubCreation


class _ContentCreation(StubCreation):
    def make_plan(self, go: int) -> StubPlan:
        """With any answer to that step good enough."""
        plan = super().make_plan(go)
        steps = (replace(s, expected=None) if s.arguments[:1] == (ARCH_SET_CPUID,) else s for s in plan.steps)
        return replace(plan, steps=tuple(steps))


@mutant(
    caught_by=("processor::a_platform_never_shows_a_cpuid_that_is_to_fault",),
    origin="gvisor 29e00c943: ARCH_SET_CPUID where it can be had, and the host's CPUID where it cannot",
)
class HidesCpuidIfItCan(PtracePlatform):
    """Does not check whether CPUID can be made to fault."""

    stub_creation_class = _ContentCreation


class _ZeroingContext(PtraceContext):
    def switch(self, address_space: AddressSpace, state: State) -> Event:
        for name in ("fs", "gs"):
            if state[name]:
                state[f"{name}_base"] = 0
        return super().switch(address_space, state)


@mutant(
    caught_by=(
        "processor::a_guest_reads_through_the_bases_it_is_given",
        "processor::bases_outlive_the_selectors_a_guest_loads",
    ),
    origin="Linux before 5.9: writing a selector by PTRACE_SETREGS zeroed its base",
)
class ZeroesBasesWithSelectors(PtracePlatform):
    """Zeroes the base of a selector that is not null."""

    context_class = _ZeroingContext
