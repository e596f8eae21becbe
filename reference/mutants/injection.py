"""Mutants that mistake another value for the result of an injected system call."""

from __future__ import annotations

from worldswitch.reference import thread_tracees
from worldswitch.reference._core import lib
from worldswitch.reference.address_space import PtraceAddressSpace
from worldswitch.reference.mutants import mutant
from worldswitch.reference.mutants._parts import stub_of
from worldswitch.reference.ptrace import PtracePlatform
from worldswitch.reference.stubprocess import Use
from worldswitch.reference.tracee import ERESTART_RESTARTBLOCK, ERESTARTNOHAND, ERESTARTNOINTR, ERESTARTSYS, Tracee

# ------------------------------------------------------------------------------------------ restarts


class _Restartless(Tracee):
    RESTARTED = frozenset[int]()


@mutant(caught_by=("IJ01", "IJ02", "IJ03", "K19"), origin="the seed's syscall without its syscallIgnoreInterrupt")
class NeverRestarts(PtracePlatform):
    """Returns the kernel's own restart codes as if they were errors of the injected call."""

    stub_class = stub_of(_Restartless)


class _ErestartsysOnly(Tracee):
    RESTARTED = frozenset((ERESTARTSYS,))


@mutant(caught_by=("IJ02", "IJ03"), origin="errno.h has four such codes, and only one is called ERESTARTSYS")
class RestartsErestartsysOnly(PtracePlatform):
    """Restarts a call that ERESTARTSYS ended, and takes ERESTARTNOINTR and ERESTARTNOHAND for errors."""

    stub_class = stub_of(_ErestartsysOnly)


class _GivesUpAfterOne(Tracee):
    def call(self, number: int, *arguments: int) -> int:
        result = self.call_once(number, *arguments)
        return self.call_once(number, *arguments) if -result in self.RESTARTED else result


@mutant(caught_by=("IJ01", "IJ02", "IJ03"), origin="a restart written as `if` and not as a loop")
class RestartsOnce(PtracePlatform):
    """Restarts an interrupted call once; the second signal ends it."""

    stub_class = stub_of(_GivesUpAfterOne)


class _RestartBlockIsAnError(Tracee):
    def call(self, number: int, *arguments: int) -> int:
        while -(result := self.call_once(number, *arguments)) in self.RESTARTED:
            pass
        return result


@mutant(caught_by=("IJ04",), origin="seed.W6: 516 is not in the seed's list")
class TellsOfRestartBlocks(PtracePlatform):
    """Returns 516, which no user space ever sees, as the errno of an interrupted sleep or poll."""

    stub_class = stub_of(_RestartBlockIsAnError)


class _StartsOver(Tracee):
    RESTARTED = frozenset((ERESTARTSYS, ERESTARTNOINTR, ERESTARTNOHAND, ERESTART_RESTARTBLOCK))


@mutant(caught_by=("IJ04",), origin="restart_syscall(2): what is left of a timeout is known to the kernel alone")
class BeginsSleepsAnew(PtracePlatform):
    """Restarts an interrupted sleep from its beginning, so that signals prolong it without end."""

    stub_class = stub_of(_StartsOver)


# ------------------------------------------------------------------------------------------ results


class _OneThreadSpace(PtraceAddressSpace):
    def call_tracee(self) -> Tracee:
        return thread_tracees.tracee_for(self.platform.acquire, self.live_stub(), Use.GUEST)


@mutant(caught_by=("IJ05", "IJ10"), origin="gvisor, pitfall 6: the reason for two pools of threads, sysemu and syscall")
class InjectsIntoGuestThreads(PtracePlatform):
    """Injects system calls into the thread that runs guests, which reports the exit of the skipped call first."""

    address_space_class = _OneThreadSpace


class _Hesitant(Tracee):
    def reach_entry(self) -> None:
        super().reach_entry()
        self.request(lib.PTRACE_SYSEMU)  # which decides about the next call, not about this one
        self.wait()
        self.request(lib.PTRACE_SYSCALL)
        self.wait()
        self.request(lib.PTRACE_SETREGS, 0, self._registers)
        super().reach_entry()


@mutant(caught_by=("K11",), origin="kernel.S2: whether a call is skipped is decided on the way to its entry")
class TakesCallsBack(PtracePlatform):
    """Tries to skip each injected call at its entry by PTRACE_SYSEMU, and then makes it again."""

    stub_class = stub_of(_Hesitant)


class _Inattentive(Tracee):
    calls = 0

    def reach_exit(self) -> None:
        self.calls += 1
        self.wait()
        if self.calls % 100 == 0:
            self.request(lib.PTRACE_SYSCALL)  # the exit was missed: on to the next stop
            self.wait()


@mutant(caught_by=("IJ07",), origin="gvisor 17c18241c: now and then a stub did not stop at the exit of its call")
class LosesExits(PtracePlatform):
    """Sometimes misses the exit of an injected call, and mistakes the entry of the next one for it."""

    stub_class = stub_of(_Inattentive)


class _Stubborn(Tracee):
    def check_not_faulting(self) -> None:
        """Accept any signal."""


@mutant(caught_by=("IJ06",), origin="seed.W7: the injection loop ignores every signal, and a fault comes for ever")
class IgnoresItsOwnFaults(PtracePlatform):
    """Resumes a stub whose own code faults, over and over."""

    stub_class = stub_of(_Stubborn)


class _Sloppy(Tracee):
    def call_once(self, number: int, *arguments: int) -> int:
        return super().call_once(number, *arguments, *[0xBAD] * (6 - len(arguments)))


@mutant(
    caught_by=("IJ08",),
    origin="gVisor 76ff1947b: arguments that were not given kept old register values",
)
class LeavesGarbageInArguments(PtracePlatform):
    """Does not clear the argument registers that an injected call has no use for."""

    stub_class = stub_of(_Sloppy)


class _DeafSpace(PtraceAddressSpace):
    def _call(self, name: str, number: int, *arguments: int) -> int:
        return self.call_tracee().call(number, *arguments)


@mutant(
    caught_by=(
        "IJ09",
        "address_ranges::what_the_host_refuses_is_an_error_with_its_errno",
        "address_ranges::a_file_open_for_reading_cannot_be_mapped_for_writing",
        "filters::what_a_filter_answers_is_the_outcome_of_an_injected_call",
        "filters::a_filter_that_comes_late_is_for_new_stubs_only",
    ),
    origin="a tracer that does not look at the sign of a result",
)
class TakesErrorsForResults(PtracePlatform):
    """Swallows the kernel's refusals."""

    address_space_class = _DeafSpace
