"""Mutants of features that some processors lack."""

from __future__ import annotations

from dataclasses import replace

from worldswitch.harness.contract import AddressSpace, Event, State
from worldswitch.reference._core import lib
from worldswitch.reference.birth_plan import ARCH_SET_CPUID, Step, StubPlan
from worldswitch.reference.context import PtraceContext
from worldswitch.reference.mutants import mutant
from worldswitch.reference.ptrace import PtracePlatform
from worldswitch.reference.stub_creation import StubCreation
from worldswitch.reference.x86_64 import XSTATE_BV

ARCH_REQ_XCOMP_PERM, XTILEDATA = 0x1023, 18  # arch/x86/include/uapi/asm/prctl.h, Documentation/arch/x86/xstate.rst


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


class _CarelessCreation(StubCreation):
    def make_plan(self, go: int) -> StubPlan:
        """Return the plan without the step that has CPUID fault."""
        plan = super().make_plan(go)
        return replace(plan, steps=tuple(step for step in plan.steps if step.arguments[:1] != (ARCH_SET_CPUID,)))


@mutant(
    caught_by=(
        "processor::a_platform_never_shows_a_cpuid_that_is_to_fault",
        "processor::cpuid_faults_for_the_caller_to_emulate",
    ),
    origin="gvisor 29e00c943: the option without the system call",
)
class ShowsTheHostsCpuid(PtracePlatform):
    """Ignores the option that has CPUID fault."""

    stub_creation_class = _CarelessCreation


class _KeylessContext(PtraceContext):
    def list_control_word(self, image: bytearray) -> None:
        """Also drop PKRU, component 9, from the header."""
        super().list_control_word(image)
        image[XSTATE_BV + 1] &= ~(1 << 9 - 8) & 0xFF


@mutant(
    caught_by=("processor::protection_keys_move_with_the_image",),
    origin="Linux 5.14 to 6.1: PTRACE_SETREGSET ignored the PKRU of the image (4a804c4f8356)",
)
class DropsProtectionKeys(PtracePlatform):
    """Loads extended state without its protection-key rights."""

    context_class = _KeylessContext


class _PermittingCreation(StubCreation):
    def make_plan(self, go: int) -> StubPlan:
        """Return the plan with a request for AMX tiles, before the filter forbids that."""
        plan = super().make_plan(go)
        ask = Step("arch_prctl(ARCH_REQ_XCOMP_PERM)", lib.SYS_arch_prctl, (ARCH_REQ_XCOMP_PERM, XTILEDATA), None)
        return replace(plan, steps=(*plan.steps[:-1], ask, plan.steps[-1]))


@mutant(
    caught_by=("processor::tiles_nobody_asked_for_are_an_invalid_instruction",),
    origin="gvisor#9750: a sandbox whose host process asks for AMX permission passes it on",
)
class AsksForTiles(PtracePlatform):
    """Requests AMX tiles in each stub."""

    stub_creation_class = _PermittingCreation


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
