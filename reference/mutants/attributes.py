"""Mutants whose stubs have other attributes than they should have of the harness."""

from __future__ import annotations

import resource
from dataclasses import replace

from worldswitch.reference import privileges
from worldswitch.reference._core import ffi, lib
from worldswitch.reference.birth_plan import Step, StubPlan
from worldswitch.reference.mutants import mutant
from worldswitch.reference.ptrace import PtracePlatform
from worldswitch.reference.stub_creation import StubCreation

# arch/x86/entry/syscalls/syscall_64.tbl
ALARM, UMASK, SETRLIMIT, KEYCTL, IOPRIO_SET = 37, 95, 160, 250, 251
PR_SET_DUMPABLE, PR_SET_TIMERSLACK, PR_SET_THP_DISABLE = 4, 29, 41  # <linux/prctl.h>
KEYCTL_JOIN_SESSION_KEYRING, WHO_PROCESS = 1, 1

OF_THE_OPERATOR = "attributes::what_the_operator_set_for_the_harness_holds_for_its_stubs"


def _with_step(name: str, number: int, *arguments: object) -> type[StubCreation]:
    """Creation of stubs that make one more call, whatever comes of it."""

    class Creation(StubCreation):
        def given_up(self) -> list[Step]:
            return [*super().given_up(), Step(name, number, arguments, None)]

    return Creation


class _DumpingCreation(StubCreation):
    def given_up(self) -> list[Step]:
        return [*privileges.ordinary_priority(), *privileges.no_implied_access()]


@mutant(caught_by=("SG22",), origin="core(5): SIGSYS and faults dump core, and the limit is inherited by a fork")
class KeepsTheCoreLimit(PtracePlatform):
    """Leaves a stub its maker's limit of core dumps, so that a killed one leaves guest memory on the host's disk."""

    stub_creation_class = _DumpingCreation


@mutant(caught_by=(OF_THE_OPERATOR,), origin="ioprio_set(2), at a start that resets all priorities")
class ResetsTheIoPriority(PtracePlatform):
    """Gives a stub the I/O priority that follows its nice value."""

    stub_creation_class = _with_step("ioprio_set", IOPRIO_SET, WHO_PROCESS, 0, 0)


@mutant(caught_by=(OF_THE_OPERATOR,), origin="daemon(7): a new process sets its umask")
class ResetsTheUmask(PtracePlatform):
    """Gives a stub a umask of its own, as a daemon has."""

    stub_creation_class = _with_step("umask", UMASK, 0o22)


@mutant(caught_by=(OF_THE_OPERATOR,), origin="PR_SET_TIMERSLACK(2const): 0 is the thread's default")
class SharpensTheTimers(PtracePlatform):
    """Gives a stub the least timer slack, and so more wakeups than the operator wants."""

    stub_creation_class = _with_step("prctl(PR_SET_TIMERSLACK)", lib.SYS_prctl, PR_SET_TIMERSLACK, 1)


@mutant(caught_by=(OF_THE_OPERATOR,), origin="PR_SET_THP_DISABLE(2const)")
class AllowsHugePages(PtracePlatform):
    """Allows a stub huge pages where its maker may have none."""

    stub_creation_class = _with_step("prctl(PR_SET_THP_DISABLE)", lib.SYS_prctl, PR_SET_THP_DISABLE, 0)


@mutant(caught_by=(OF_THE_OPERATOR,), origin="getrlimit(2), at a start that sets all limits")
class HasNoMessageQueues(PtracePlatform):
    """Resets a stub's limit of message queues along with that of core dumps."""

    stub_creation_class = _with_step("setrlimit", SETRLIMIT, resource.RLIMIT_MSGQUEUE, ffi.new("unsigned long[2]"))


@mutant(caught_by=(OF_THE_OPERATOR,), origin="session-keyring(7): a new session of login joins a new one")
class JoinsAnotherKeyring(PtracePlatform):
    """Gives a stub a new session keyring."""

    stub_creation_class = _with_step("keyctl", KEYCTL, KEYCTL_JOIN_SESSION_KEYRING, 0)


@mutant(
    caught_by=("attributes::a_harness_that_is_not_dumpable_makes_no_dumpable_stub",),
    origin="PR_SET_DUMPABLE(2const), set so that an unprivileged tracer may attach",
)
class MakesStubsDumpable(PtracePlatform):
    """Makes each stub dumpable, so that other processes of the user may look into guests."""

    stub_creation_class = _with_step("prctl(PR_SET_DUMPABLE)", lib.SYS_prctl, PR_SET_DUMPABLE, 1)


class _GainingCreation(StubCreation):
    def make_plan(self, go: int) -> StubPlan:
        """Without PR_SET_NO_NEW_PRIVS, which a privileged process needs for no filter."""
        plan = super().make_plan(go)
        return replace(plan, steps=tuple(step for step in plan.steps if "NO_NEW_PRIVS" not in step.name))


@mutant(caught_by=("SG24",), origin="seccomp(2): CAP_SYS_ADMIN installs a filter without no_new_privs")
class MayGainPrivileges(PtracePlatform):
    """Leaves no_new_privs off a stub where the filter does not need it."""

    stub_creation_class = _GainingCreation


@mutant(caught_by=("SG24",), origin="alarm(2), as a deadline of the birth that is not taken back")
class LeavesATimer(PtracePlatform):
    """Bounds the birth of a stub by a timer, and leaves that running."""

    stub_creation_class = _with_step("alarm", ALARM, 1000)
