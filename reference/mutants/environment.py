"""Mutants of where a platform runs: what it says when it cannot, and whose process ids it believes."""

from __future__ import annotations

from worldswitch.harness.contract import Event, HostError, Signal
from worldswitch.reference._core import ffi, lib
from worldswitch.reference.context import PtraceContext
from worldswitch.reference.mutants import mutant
from worldswitch.reference.ptrace import PtracePlatform
from worldswitch.reference.stops import SignalInfo


@mutant(caught_by=("EV03", "EV04"), origin="gvisor#9006, moby#38137: 'unable to attach: operation not permitted'")
class SaysOnlyTheErrno(PtracePlatform):
    """Does not say why it may not trace its own child, nor what to do."""

    def _trace_leader(self, pid: int) -> None:
        options = ffi.cast("void *", lib.PTRACE_O_EXITKILL | lib.PTRACE_O_TRACESYSGOOD)
        rc = lib.tracee_request(lib.PTRACE_SEIZE, pid, 0, options)
        if rc < 0:
            raise HostError(-rc, "PTRACE_SEIZE")


class _CredulousContext(PtraceContext):
    def _unasked_signal(self, info: SignalInfo) -> Event | None:
        return Signal(info.signo, info.code) if info.pid == 0 else super()._unasked_signal(info)


@mutant(caught_by=("EV08",), origin="kernel.I2: a sender outside the PID namespace has no pid in it, so si_pid is 0")
class TakesOutsidersForTheKernel(PtracePlatform):
    """Takes a signal without a sender's process id for one of the kernel's."""

    context_class = _CredulousContext
