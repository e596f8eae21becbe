"""Mutants of scheduling: stubs that are ahead of other processes, or behind their maker."""

from __future__ import annotations

import os

from worldswitch.reference._core import ffi, lib
from worldswitch.reference.birth_plan import Step
from worldswitch.reference.creator import Creator
from worldswitch.reference.mutants import mutant
from worldswitch.reference.privileges import ordinary_priority
from worldswitch.reference.ptrace import PtracePlatform
from worldswitch.reference.stub_creation import StubCreation


class _UrgentCreation(StubCreation):
    def given_up(self) -> list[Step]:
        return []


@mutant(
    caught_by=(
        "priorities::a_stub_is_not_ahead_of_other_processes",
        "priorities::a_harness_that_is_made_urgent_later_makes_no_urgent_stub",
    ),
    origin="this reference, before: guests of a real-time harness took the CPUs from all other processes",
)
class KeepsTheHarnessPriority(PtracePlatform):
    """Leaves a stub the real-time priority and the nice value of its maker."""

    stub_creation_class = _UrgentCreation


class _NiceCreation(StubCreation):
    def given_up(self) -> list[Step]:
        return [step for step in super().given_up() if step.name != "setpriority"]


@mutant(
    caught_by=("priorities::a_stub_is_not_ahead_of_other_processes",),
    origin="sched(7): a nice value outlasts a change of policy",
)
class KeepsTheNiceValue(PtracePlatform):
    """Resets the policy of a stub, and not its negative nice value."""

    stub_creation_class = _NiceCreation


class _RememberingCreator(Creator):
    def prepare(self) -> None:
        super().prepare()
        flags = os.sched_getscheduler(0) | os.SCHED_RESET_ON_FORK
        os.sched_setscheduler(0, flags, os.sched_getparam(0))


@mutant(
    caught_by=("priorities::a_harness_that_is_made_urgent_later_makes_no_urgent_stub",),
    origin="SCHED_RESET_ON_FORK, which another process's sched_setscheduler takes away",
)
class ResetsOnForkAlone(PtracePlatform):
    """Has the kernel reset a stub's priority by SCHED_RESET_ON_FORK, set when the platform starts."""

    creator_class = _RememberingCreator
    stub_creation_class = _UrgentCreation


class _ModelCreation(StubCreation):
    def given_up(self) -> list[Step]:
        priority = ffi.new("int *", 0)
        ordinary = Step("sched_setscheduler", lib.SYS_sched_setscheduler, (0, os.SCHED_OTHER, priority))
        return [ordinary, Step("setpriority", lib.SYS_setpriority, (os.PRIO_PROCESS, 0, 0), None)]


@mutant(
    caught_by=("priorities::a_stub_of_a_modest_harness_is_as_modest",),
    origin="sched_setscheduler(2) without a look at the present policy",
)
class RaisesTheModest(PtracePlatform):
    """Gives each stub the default policy and nice value, a harness's with lower ones too."""

    stub_creation_class = _ModelCreation


class _DeafCreation(StubCreation):
    def given_up(self) -> list[Step]:
        return ordinary_priority()


@mutant(
    caught_by=("priorities::a_stub_keeps_its_makers_priority_where_that_is_asked_for",),
    origin="an option that is not looked at",
)
class KeepsNoPriority(PtracePlatform):
    """Resets a stub's priority with `keep_priority`, too."""

    stub_creation_class = _DeafCreation
