"""Mutants whose stubs keep process attributes of the harness."""

from __future__ import annotations

from dataclasses import replace

from worldswitch.reference import privileges
from worldswitch.reference._core import ffi, lib
from worldswitch.reference.birth_plan import SIGACTION_SIZE, Step, StubPlan
from worldswitch.reference.mutants import mutant
from worldswitch.reference.mutants.signals import KnowsNoStopSignalButSigstop
from worldswitch.reference.ptrace import PtracePlatform
from worldswitch.reference.stub_creation import StubCreation


class _ForegroundCreation(StubCreation):
    def make_plan(self, go: int) -> StubPlan:
        """Without setpgid."""
        plan = super().make_plan(go)
        return replace(plan, steps=tuple(step for step in plan.steps if step.name != "setpgid"))


@mutant(
    caught_by=("inheritance::keys_typed_at_the_terminal_are_for_the_harness_alone",),
    origin="gvisor 4a1a2dead: a ^C in the terminal reached the stubs too",
)
class StaysInTheForeground(PtracePlatform):
    """Leaves its stubs in the process group of the harness, the terminal's foreground."""

    stub_creation_class = _ForegroundCreation


@mutant(
    caught_by=("inheritance::a_harness_that_its_terminal_stops_goes_on_exactly",),
    origin="gvisor 4a1a2dead: ... and were injected twice, or crashed the sentry",
)
class PassesTheTerminalsKeysOn(StaysInTheForeground, KnowsNoStopSignalButSigstop):
    """Leaves its stubs in the terminal's foreground, and reports the ^Z that they receive as the guest's."""


class _LazyCreation(StubCreation):
    def make_plan(self, go: int) -> StubPlan:
        """Without the steps that set them."""
        plan = super().make_plan(go)
        kept = tuple(step for step in plan.steps if not step.name.startswith("rt_sigaction"))
        return replace(plan, steps=kept)


@mutant(caught_by=("SG16",), origin="kernel.M6: what is ignored or handled is so in a forked child too")
class KeepsTheHarnessDispositions(PtracePlatform):
    """Leaves the harness's signal dispositions in a stub."""

    stub_creation_class = _LazyCreation


class _MortalCreation(StubCreation):
    def make_plan(self, go: int) -> StubPlan:
        """With the default for each signal."""
        plan = super().make_plan(go)
        default = ffi.new("unsigned char[]", SIGACTION_SIZE)
        steps = (
            replace(step, arguments=(step.arguments[0], default, *step.arguments[2:]))
            if step.number == lib.SYS_rt_sigaction
            else step
            for step in plan.steps
        )
        return replace(plan, steps=tuple(steps))


@mutant(
    caught_by=("SG20",),
    origin="this reference, before: complete_signal asks whether the thread that the id names is traced",
)
class ResetsToTheFatalDefault(PtracePlatform):
    """Leaves a stub the default disposition of each signal, which kill(2) to an idle thread's id makes fatal."""

    stub_creation_class = _MortalCreation


class _LaxCreation(StubCreation):
    def given_up(self) -> list[Step]:
        return privileges.ordinary_priority()


@mutant(caught_by=("SG21",), origin="personality(2): READ_IMPLIES_EXEC is inherited by a fork")
class KeepsThePersonality(PtracePlatform):
    """Leaves a stub its maker's personality, in which readable memory may be executable."""

    stub_creation_class = _LaxCreation
