"""Mutants of privileges: needless demands, or the wrong one reported as missing."""

from __future__ import annotations

import os
from dataclasses import replace

from worldswitch.harness import ptrace_denial
from worldswitch.harness.contract import Options, Unavailable
from worldswitch.reference._core import ffi, lib
from worldswitch.reference.birth_plan import StubPlan
from worldswitch.reference.mutants import mutant
from worldswitch.reference.ptrace import PtracePlatform
from worldswitch.reference.stub_creation import StubCreation


class _BlamingCreation(StubCreation):
    def trace_leader(self, pid: int) -> None:
        options = ffi.cast("void *", lib.PTRACE_O_EXITKILL | lib.PTRACE_O_TRACESYSGOOD)
        rc = lib.tracee_request(lib.PTRACE_SEIZE, pid, 0, options)
        if rc < 0:
            reason = f"ptrace: {os.strerror(-rc)}: a seccomp filter denies it"
            raise Unavailable(reason, "use a profile that allows ptrace")


@mutant(
    caught_by=(
        "privileges::a_denial_by_yama_is_not_blamed_on_others",
        "privileges::a_harness_that_nobody_may_dump_is_told",
    ),
    origin="gvisor 172bcc9be, gvisor#11091: EPERM was blamed on seccomp, even under Yama",
)
class BlamesTheFilter(PtracePlatform):
    """Blames a seccomp filter for every refusal."""

    stub_creation_class = _BlamingCreation


@mutant(
    caught_by=(
        "privileges::the_basics_take_no_privileges",
        "privileges::the_basics_work_for_any_user",
        "privileges::the_basics_work_in_a_user_namespace",
    ),
    origin="the sentry's platform: its requirements were CAP_SYS_PTRACE, needed or not",
)
class WantsRoot(PtracePlatform):
    """Starts only for root with CAP_SYS_PTRACE."""

    def __init__(self, options: Options | None = None) -> None:
        known = ptrace_denial.current()
        if known.user != 0 or not known.may(ptrace_denial.CAP_SYS_PTRACE):
            raise Unavailable("this is not root with CAP_SYS_PTRACE", "run it as root")
        super().__init__(options)


class _PrivilegedCreation(StubCreation):
    def make_plan(self, go: int) -> StubPlan:
        """Without PR_SET_NO_NEW_PRIVS."""
        plan = super().make_plan(go)
        return replace(plan, steps=tuple(step for step in plan.steps if "NO_NEW_PRIVS" not in step.name))


@mutant(
    caught_by=("privileges::the_basics_take_no_privileges", "privileges::the_basics_work_for_any_user"),
    origin="seccomp(2): without CAP_SYS_ADMIN a filter takes no_new_privs",
)
class TrustsInItsPrivileges(PtracePlatform):
    """Installs the stub's filter without no_new_privs, which takes CAP_SYS_ADMIN."""

    stub_creation_class = _PrivilegedCreation
