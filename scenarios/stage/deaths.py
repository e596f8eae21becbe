"""How scenarios kill stubs, and what they check of a death: typed, the same for every caller, nothing left over."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

from worldswitch.harness.contract import AddressSpace, Cause, Death, Died, PlatformError, StubDied
from worldswitch.scenarios.stage.processes import process_state
from worldswitch.scenarios.stage.stage import Stage

#: The cause of death of a stub that was killed by SIGKILL.
KILLED = Cause(Death.SIGNALED, signal.SIGKILL)

#: How a stub whose tracer vanished may die: as the platform sees it, by PTRACE_O_EXITKILL, by its own filter.
LOST = {
    *((Death.TRACER_VANISHED, signo) for signo in (0, int(signal.SIGKILL))),
    *((Death.SIGNALED, int(signal.SIGKILL)), (Death.SECCOMP, int(signal.SIGSYS))),
}


def stub_of(stage: Stage, space: AddressSpace) -> int:
    """The process behind an address space."""
    return stage.inspect(space).stub.pid


def kill(pid: int) -> None:
    """Send SIGKILL to a stub, as the OOM killer or an operator would."""
    os.kill(pid, signal.SIGKILL)


def outcome_of(operation: Callable[[], object]) -> object:
    """The result of `operation`, or `Died` if it raises `StubDied`; any other error fails the scenario."""
    try:
        return operation()
    except StubDied as death:
        return Died(death.cause)
    except PlatformError as error:
        raise AssertionError(f"the death of a stub was reported as {type(error).__name__}: {error}") from error


def cause_of(operation: Callable[[], object]) -> Cause:
    """The cause of death that `operation` reports, as an event or as an error."""
    outcome = outcome_of(operation)
    assert isinstance(outcome, Died), f"the death of a stub was not reported: {outcome!r}"
    return outcome.cause


def wait_until_gone(stage: Stage, pid: int, seconds: float = 2.0) -> None:
    """Wait until the process is dead and reaped: no zombie and no stopped thread is left."""
    stage.wait_until(lambda: process_state(pid) is None, seconds, f"nothing is left of stub {pid}")
