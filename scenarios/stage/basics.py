"""A smoke test of a platform, for environments where the question is whether it works at all."""

from __future__ import annotations

from worldswitch.harness.contract import Fault
from worldswitch.scenarios import guests
from worldswitch.scenarios.stage.stage import PAGE, Stage
from worldswitch.scenarios.stage.steady_guests import Computing, makes_calls, outcome_of


def work_here(stage: Stage) -> None:
    """Check system calls, memory, faults and interrupts; any refusal by the platform is a failure."""
    outcome = outcome_of(lambda: _work(stage))
    assert outcome is None, f"the platform does not work here: {outcome!r}"


def _work(stage: Stage) -> None:
    guest = stage.guest(guests.getpid_loop)
    makes_calls(guest, 5)
    reader = stage.guest(guests.read_at, space=guest.space, rdi=stage.place(guest.space, PAGE))
    fault = reader.switch()
    assert isinstance(fault, Fault), f"a read of unmapped memory returned {fault!r}"
    assert fault.address == reader.state["rdi"]
    guest.space.unmap(guest.data_address, PAGE)
    with Computing(stage) as computing:
        computing.ends_when_interrupted()
    guest.space.release()
    makes_calls(stage.guest(guests.getpid_loop), 5)
