"""The stack pointer of a guest."""

from worldswitch.harness.contract import Syscall
from worldswitch.scenarios import guests
from worldswitch.scenarios.declare import scenario
from worldswitch.scenarios.stage.stage import Stage


@scenario("EX01", clauses="seed.switchToApp", quick=10, normal=100, soak=10_000)
def system_calls_leave_the_stack_pointer_alone(stage: Stage) -> None:
    """The stack pointer is the same after any number of system calls."""
    guest = stage.guest(guests.getpid_loop)
    before = guest.state.sp
    for _ in range(stage.trial.repeat):
        guest.run_to(Syscall)
        assert guest.state.sp == before
