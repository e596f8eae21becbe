"""Mutants of the reports of deaths: a wrong cause, a wrong type of error, missing details."""

from __future__ import annotations

import errno
import struct
from dataclasses import replace

from worldswitch.harness.contract import Cause, Death, HostError, StubDied
from worldswitch.reference._core import lib
from worldswitch.reference.context import PtraceContext
from worldswitch.reference.filter import RETURN
from worldswitch.reference.mutants import mutant
from worldswitch.reference.mutants._parts import stub_of
from worldswitch.reference.ptrace import PtracePlatform
from worldswitch.reference.stops import Stop
from worldswitch.reference.stub_creation import StubCreation
from worldswitch.reference.stubprocess import StubProcess
from worldswitch.reference.tracee import Tracee

SECCOMP_RET_KILL_THREAD = 0  # include/uapi/linux/seccomp.h


class _ShellStub(StubProcess):
    def bury(self, cause: Cause) -> Cause:
        if cause.death is Death.SIGNALED:
            cause = Cause(Death.EXITED, status=128 + cause.signo)
        return super().bury(cause)


@mutant(caught_by=("LC01", "LC02", "LC03", "LC16"), origin="how a shell tells of a child's end by a signal")
class TakesSignalsForExits(PtracePlatform):
    """Reports a death by a signal as an exit with 128 plus the signal's number."""

    stub_class = _ShellStub


class _OneRoadContext(PtraceContext):
    def _refused(self, tracee: Tracee, error: int) -> Exception:
        if error == errno.ESRCH:
            return HostError(error, "switching")
        return super()._refused(tracee, error)


@mutant(
    caught_by=("moments::a_stub_killed_between_any_two_steps_of_its_tracer_dies_the_same_death",),
    origin="pitfall 11, gvisor#1335: a death is a wait status, an ESRCH or an ECHILD, as it happens",
)
class KnowsDeathByItsStatusOnly(PtracePlatform):
    """Reports the ESRCH of a switch whose stub was killed before the wait."""

    context_class = _OneRoadContext


class _LenientStub(StubProcess):
    def bury(self, cause: Cause) -> Cause:
        return cause if cause.death is Death.SECCOMP else super().bury(cause)


class _LenientCreation(StubCreation):
    def filter_program(self, key: int) -> bytes:
        """With every verdict of death a milder one."""
        instruction = struct.Struct("=HBBI")
        strict = instruction.pack(RETURN, 0, 0, lib.SECCOMP_RET_KILL_PROCESS)
        mild = instruction.pack(RETURN, 0, 0, SECCOMP_RET_KILL_THREAD)
        return super().filter_program(key).replace(strict, mild)


@mutant(caught_by=("LC10",), origin="seed.W27, gvisor eaac94d91: SECCOMP_RET_KILL_THREAD leaves the process hanging")
class KillsTheOffendingThreadOnly(PtracePlatform):
    """Has a stub's filter kill only the thread that makes a forbidden call."""

    stub_class = _LenientStub
    stub_creation_class = _LenientCreation


class _TrustingTracee(Tracee):
    def check_not_condemned(self) -> None:
        """Believe any result."""


@mutant(caught_by=("LC11", "LC10"), origin="seed.W13: the exit-stop of a condemned call shows its number")
class TakesCondemnationForSuccess(PtracePlatform):
    """Returns the number of a forbidden call as its result."""

    stub_class = stub_of(_TrustingTracee)


class _TightLippedStub(StubProcess):
    def bury(self, cause: Cause) -> Cause:
        return super().bury(replace(cause, status=0))


@mutant(
    caught_by=("condemned::a_stub_that_exits_is_told_with_its_status",),
    origin="gvisor 2a1303357, 3b7119a7c: unexpected stub exit",
)
class KeepsTheStatusToItself(PtracePlatform):
    """Omits the status of a stub's exit."""

    stub_class = _TightLippedStub


class _SpeechlessStub(StubProcess):
    def bury(self, cause: Cause) -> Cause:
        return super().bury(replace(cause, registers=None, dump=""))


@mutant(
    caught_by=("condemned::a_death_tells_the_registers",),
    origin="gvisor c5486f512: a stub's death was reported without its registers",
)
class DumpsNoRegisters(PtracePlatform):
    """Omits the registers from a death's cause."""

    stub_class = _SpeechlessStub


class _PanickingContext(PtraceContext):
    def _death(self, tracee: Tracee, stop: Stop) -> Exception:
        return HostError(errno.ECHILD, f"waiting for the guest, which wanted a stop and got {stop}")


@mutant(caught_by=("LC01",), origin="gvisor e63ff6d92: a panic where a stub was killed by SIGKILL")
class PanicsAtAKill(PtracePlatform):
    """Reports the death of a stub in a switch as an unexpected error."""

    context_class = _PanickingContext


class _UnpreparedTracee(Tracee):
    def attach(self, options: int) -> None:
        """Attach, without expecting a death."""
        try:
            super().attach(options)
        except StubDied as death:
            raise HostError(errno.ESRCH, "attaching a stub's thread") from death


@mutant(caught_by=("LC09",), origin="seed.W21, gvisor H3: ATTACH after a kill in the untraced window")
class PanicsAtAttaching(PtracePlatform):
    """Reports the death of a stub before its thread is attached as an unexpected error."""

    stub_class = stub_of(_UnpreparedTracee)
