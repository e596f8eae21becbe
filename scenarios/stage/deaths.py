"""How scenarios kill stubs, and what they hold a death to: typed, the same to everybody, and nothing left over."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

from worldswitch.harness.contract import AddressSpace, Cause, Death, Died, PlatformError, StubDied
from worldswitch.scenarios.stage.processes import process_state
from worldswitch.scenarios.stage.stage import Stage

#: What everybody is told of a stub that took a SIGKILL.
KILLED = Cause(Death.SIGNALED, signal.SIGKILL)

#: How a stub may die whose tracer vanished: as the platform sees it, by PTRACE_O_EXITKILL, by its own filter.
LOST = {
    *((Death.TRACER_VANISHED, signo) for signo in (0, int(signal.SIGKILL))),
    *((Death.SIGNALED, int(signal.SIGKILL)), (Death.SECCOMP, int(signal.SIGSYS))),
}


def stub_of(stage: Stage, space: AddressSpace) -> int:
    """The process behind an address space."""
    return stage.inspect(space).stub.pid


def kill(pid: int) -> None:
    """SIGKILL a stub, as the OOM killer or an operator would."""
    os.kill(pid, signal.SIGKILL)


def outcome_of(operation: Callable[[], object]) -> object:
    """What `operation` returns, or the `Died` it reports as an error; no other error may stand for a death."""
    try:
        return operation()
    except StubDied as death:
        return Died(death.cause)
    except PlatformError as error:
        raise AssertionError(f"a lost stub was reported as {type(error).__name__}: {error}") from error


def cause_of(operation: Callable[[], object]) -> Cause:
    """Why the stub died, as `operation` tells it, by an event or an error."""
    outcome = outcome_of(operation)
    assert isinstance(outcome, Died), f"a lost stub went unnoticed: {outcome!r}"
    return outcome.cause


def wait_until_gone(stage: Stage, pid: int, seconds: float = 2.0) -> None:
    """The process is dead and reaped, in time: neither a zombie nor a thread in a trace stop is left of it."""
    stage.wait_until(lambda: process_state(pid) is None, seconds, f"nothing is left of stub {pid}")
