"""Mutants of the environment: poor explanations of a refusal, and trust in process ids."""

from __future__ import annotations

import errno
import os

from worldswitch.harness.contract import Event, HostError, Options, Signal, StubDied, Unavailable
from worldswitch.harness.ptrace_denial.confinement import tracer_of
from worldswitch.reference import prerequisites, refusals
from worldswitch.reference._core import ffi, lib
from worldswitch.reference.context import PtraceContext
from worldswitch.reference.mutants import mutant
from worldswitch.reference.ptrace import PtracePlatform
from worldswitch.reference.stops import SignalInfo
from worldswitch.reference.stub_creation import StubCreation


class _TerseCreation(StubCreation):
    def trace_leader(self, pid: int) -> None:
        options = ffi.cast("void *", lib.PTRACE_O_EXITKILL | lib.PTRACE_O_TRACESYSGOOD)
        rc = lib.tracee_request(lib.PTRACE_SEIZE, pid, 0, options)
        if rc < 0:
            raise HostError(-rc, "PTRACE_SEIZE")


@mutant(
    caught_by=(
        "EV03",
        "environment::a_harness_that_is_traced_itself_is_told",
        "privileges::a_denial_by_yama_is_not_blamed_on_others",
        "privileges::a_harness_that_nobody_may_dump_is_told",
    ),
    origin="gvisor#9006, moby#38137: 'unable to attach: operation not permitted'",
)
class SaysOnlyTheErrno(PtracePlatform):
    """Does not say why it may not trace its own child, nor what to do."""

    stub_creation_class = _TerseCreation


@mutant(
    caught_by=("environment::a_filter_that_kills_what_is_being_made_is_named",),
    origin="seed.W27: a filter's kill was an unexpected stop, and a panic over registers",
)
class SaysNothingOfTheFilter(PtracePlatform):
    """Does not say that a filter killed the first stub, nor what to do."""

    def _first_stub(self) -> bytes:
        try:
            return super()._first_stub()
        except Unavailable as refusal:
            if isinstance(refusal.__cause__, StubDied):
                raise Unavailable("the first stub process died") from refusal.__cause__
            raise


@mutant(
    caught_by=("environment::a_kernel_without_sysemu_is_named",),
    origin="gvisor 277a0d5a1, gvisor#6328: a kernel without it was found out by the first switch, as EIO",
)
class TakesSysemuForGranted(PtracePlatform):
    """Does not try PTRACE_SYSEMU before it says that it can run."""

    def _first_stub(self) -> bytes:
        stub = self.stub_creation.birth()
        self.pool.add(stub)
        return prerequisites.initial_xstate(prerequisites._read_xstate(stub.pid))


class _TimidCreation(StubCreation):
    def trace_leader(self, pid: int) -> None:
        if tracer_of(os.getpid()):
            raise refusals.refused("PTRACE_SEIZE", errno.EPERM)
        super().trace_leader(pid)


@mutant(
    caught_by=("environment::a_tracer_that_does_not_follow_is_no_obstacle",),
    origin="fact.H4: EPERM under strace -f, concluded from TracerPid alone",
)
class RefusesUnderAnyTracer(PtracePlatform):
    """Does not start if the calling thread is traced, even by a tracer that does not follow clones."""

    stub_creation_class = _TimidCreation


class _CredulousContext(PtraceContext):
    def _unasked_signal(self, info: SignalInfo) -> Event | None:
        return Signal(info.signo, info.code) if info.pid == 0 else super()._unasked_signal(info)


@mutant(caught_by=("EV08",), origin="kernel.I2: a sender outside the PID namespace has no pid in it, so si_pid is 0")
class TakesOutsidersForTheKernel(PtracePlatform):
    """Reports a signal without a sender's process id as the kernel's."""

    context_class = _CredulousContext


@mutant(caught_by=("K23", "K35"), origin="clone(2): EINVAL for a thread where CLONE_NEWPID was unshared")
class PassesThreadErrorsOn(PtracePlatform):
    """Says only that no thread could be started."""

    def __init__(self, options: Options | None = None) -> None:
        try:
            super().__init__(options)
        except Unavailable as refusal:
            raise refusal.__cause__ or refusal from None
