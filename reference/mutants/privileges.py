"""Mutants of what a platform may do: it wants more than it needs, or names the wrong one as missing."""

from __future__ import annotations

import os
from dataclasses import replace

from worldswitch.harness import ptrace_denial
from worldswitch.harness.contract import Options, Unavailable
from worldswitch.reference._core import ffi, lib
from worldswitch.reference.mutants import mutant
from worldswitch.reference.plan import StubPlan
from worldswitch.reference.ptrace import PtracePlatform


@mutant(
    caught_by=(
        "privileges::a_denial_by_yama_is_not_blamed_on_others",
        "privileges::a_harness_that_nobody_may_dump_is_told",
    ),
    origin="gvisor 172bcc9be, gvisor#11091: EPERM was put down to seccomp, whatever Yama's scope was",
)
class BlamesTheFilter(PtracePlatform):
    """Takes every refusal for a seccomp filter's."""

    def _trace_leader(self, pid: int) -> None:
        options = ffi.cast("void *", lib.PTRACE_O_EXITKILL | lib.PTRACE_O_TRACESYSGOOD)
        rc = lib.tracee_request(lib.PTRACE_SEIZE, pid, 0, options)
        if rc < 0:
            reason = f"ptrace: {os.strerror(-rc)}: a seccomp filter denies it"
            raise Unavailable(reason, "use a profile that allows ptrace")


@mutant(
    caught_by=(
        "privileges::the_basics_take_no_privileges",
        "privileges::the_basics_work_for_any_user",
        "privileges::the_basics_work_in_a_user_namespace",
    ),
    origin="the sentry's platform: its requirements were CAP_SYS_PTRACE, needed or not",
)
class WantsRoot(PtracePlatform):
    """Starts for root with CAP_SYS_PTRACE only."""

    def __init__(self, options: Options | None = None) -> None:
        known = ptrace_denial.current()
        if known.user != 0 or not known.may(ptrace_denial.CAP_SYS_PTRACE):
            raise Unavailable("this is not root with CAP_SYS_PTRACE", "run it as root")
        super().__init__(options)


@mutant(
    caught_by=("privileges::the_basics_take_no_privileges", "privileges::the_basics_work_for_any_user"),
    origin="seccomp(2): without CAP_SYS_ADMIN a filter takes no_new_privs",
)
class TrustsInItsPrivileges(PtracePlatform):
    """Installs the stub's filter as somebody with CAP_SYS_ADMIN may."""

    def make_plan(self, go: int) -> StubPlan:
        """Without PR_SET_NO_NEW_PRIVS."""
        plan = super().make_plan(go)
        return replace(plan, steps=tuple(step for step in plan.steps if "NO_NEW_PRIVS" not in step.name))
