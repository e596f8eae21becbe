"""Mutants under a seccomp filter of the harness: they make forbidden calls, or mishandle the filter's answer."""

from __future__ import annotations

import contextlib
import os
import signal

from worldswitch.harness.contract import HostError
from worldswitch.reference._core import lib
from worldswitch.reference.context import PtraceContext
from worldswitch.reference.mutants import mutant
from worldswitch.reference.mutants._parts import stub_of
from worldswitch.reference.ptrace import PtracePlatform
from worldswitch.reference.stubprocess import StubProcess
from worldswitch.reference.tracee import Tracee


@mutant(
    caught_by=("filters::a_process_that_may_not_fork_keeps_what_it_has", "CH09"),
    origin="seed.W20, gvisor afee3faf0: every error of the host's was a panic",
)
class DiesOfRefusals(PtracePlatform):
    """Ends the whole process when the kernel refuses to make a stub."""

    def _birth(self) -> StubProcess:
        try:
            return super()._birth()
        except HostError:
            self.die()
            raise


class _OpenlyKilledStub(StubProcess):
    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)


@mutant(
    caught_by=("filters::a_process_that_may_not_kill_can_lose_a_stub",),
    origin="gvisor fd598912b: the sentry's own filter forbids kill(2)",
)
class KillsByKill(PtracePlatform):
    """Kills stubs by kill(2)."""

    stub_class = _OpenlyKilledStub


class _BelievingTracee(Tracee):
    def check_not_condemned(self) -> None:
        """Believe any number."""


@mutant(
    caught_by=("filters::what_a_filter_kills_for_is_the_death_of_the_stub",),
    origin="seed.W13: seccomp rolls the registers back, and the call's number passes for its result",
)
class TakesRollBacksForResults(PtracePlatform):
    """Does not check whether a call was made if it returned its own number."""

    stub_class = stub_of(_BelievingTracee)


class _LenientContext(PtraceContext):
    RUN = lib.PTRACE_SYSCALL


@mutant(
    caught_by=("filters::a_guests_calls_never_meet_a_filter",),
    origin="gvisor 463e73d46, ptrace(2): PTRACE_SYSCALL stops at calls that will be made",
)
class RunsBySyscallStops(PtracePlatform):
    """Resumes guests by PTRACE_SYSCALL, so that each call reaches the filters behind the stop."""

    context_class = _LenientContext
