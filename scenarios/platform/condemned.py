"""Stubs that end themselves, by a forbidden call or by exit, and how their death is reported."""

from __future__ import annotations

import signal
from collections.abc import Callable
from functools import partial

from worldswitch.harness.arch import registers
from worldswitch.harness.contract import Cause, Death
from worldswitch.scenarios import guests
from worldswitch.scenarios.declare import scenario
from worldswitch.scenarios.guests import Number
from worldswitch.scenarios.stage.deaths import KILLED, cause_of, kill, stub_of, wait_until_gone
from worldswitch.scenarios.stage.pacing import running
from worldswitch.scenarios.stage.stage import PAGE, Guest, Stage

#: The cause of death of a stub that its filter killed.
FORBIDDEN = Cause(Death.SECCOMP, signal.SIGSYS)

#: Calls that no stub may make.
FORBIDDEN_CALLS = (Number.EXECVE, Number.KILL, Number.WRITE, Number.FORK)


@scenario("LC10", clauses=("gvisor eaac94d91", "seed.W27", "seccomp(2)"), needs="seccomp", normal=5, soak=50)
def a_forbidden_call_ends_the_whole_stub(stage: Stage) -> None:
    """A forbidden call in one thread of a stub ends the stub, and every tracer gets the cause."""
    for _ in range(stage.trial.repeat):
        space = stage.space()
        stub = stub_of(stage, space)
        busy = [running(stage, stage.guest(guests.count_loop, space=space)) for _ in range(2)]
        idle = stage.guest(guests.getpid_loop, space=space)
        idle.syscalls(1)
        assert _cause_in_time(stage, partial(stage.inspect(space).inject, Number.EXECVE)) == FORBIDDEN
        assert [cause_of(partial(thread.result, 2)) for thread in busy] == [FORBIDDEN] * 2
        assert _cause_in_time(stage, idle.switch) == FORBIDDEN
        wait_until_gone(stage, stub)


@scenario("LC11", "K47", clauses=("seed.W13", "kernel.seccomp", "seccomp(2)"), needs="seccomp", soak=50)
def a_forbidden_call_is_a_death_and_never_a_success(stage: Stage) -> None:
    """A forbidden injected call is a typed death, and never returns the call's number as its result."""
    for _ in range(stage.trial.repeat):
        for number in FORBIDDEN_CALLS:
            space = stage.inspect(stage.space())
            stub = space.stub.pid
            assert _cause_in_time(stage, partial(space.inject, number)) == FORBIDDEN, f"an injected {number.name}"
            assert _cause_in_time(stage, partial(space.unmap, PAGE, PAGE)) == FORBIDDEN
            wait_until_gone(stage, stub)


@scenario("LC01", clauses=("gvisor 2a1303357", "gvisor 3b7119a7c"), soak=50)
def a_stub_that_exits_is_told_with_its_status(stage: Stage) -> None:
    """A stub that calls exit_group is a typed death with that status, which the message names."""
    platform = stage.platform_with(injectable=(Number.EXIT_GROUP,))
    for status in (0, 1, 77):
        space = stage.inspect(stage.space(platform))
        stub = space.stub.pid
        cause = _cause_in_time(stage, partial(space.inject, Number.EXIT_GROUP, status))
        assert cause == Cause(Death.EXITED, status=status)
        assert str(status) in str(cause)
        wait_until_gone(stage, stub)


@scenario("LC01", clauses=("gvisor c5486f512", "seed.dumpAndPanic"), quick=2, normal=5, soak=50)
def a_death_tells_the_registers(stage: Stage) -> None:
    """The death of a running stub reports its last known registers, and a dump that shows them."""
    for _ in range(stage.trial.repeat):
        guest = stage.guest(guests.count_loop, r15=0x7E57_0B0E)
        thread = running(stage, guest)
        kill(stub_of(stage, guest.space))
        _tells_where_it_was(guest, cause_of(thread.result))
        assert _cause_in_time(stage, guest.switch) == KILLED


# --------------------------------------------------------------------------------------------------------------- pieces


def _cause_in_time(stage: Stage, operation: Callable[[], object]) -> Cause:
    return stage.bounded(lambda: cause_of(operation), 2)


def _tells_where_it_was(guest: Guest, cause: Cause) -> None:
    """Check that the registers are a guest's or the stub's, and that the dump shows them."""
    stub = guest.stage.inspect(guest.space).stub
    assert cause.registers is not None, "no registers"
    words = memoryview(cause.registers).cast("Q")
    pc = words[registers.PC]
    in_guest = 0 <= pc - guest.code < len(guest.program.code)
    assert in_guest or stub.begin <= pc < stub.end, f"the registers are neither the guest's nor the stub's: pc {pc:#x}"
    assert f"{pc:x}" in cause.dump, f"pc {pc:#x} is not in the dump: {cause.dump!r}"
