"""Wrong calls raise the right error and change nothing."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from worlds import stage as stage

from worldswitch.harness.contract import Access, HostError, Released, State, Syscall
from worldswitch.scenarios import guests
from worldswitch.scenarios.guests import Number
from worldswitch.scenarios.stage.accounts import Accounts
from worldswitch.scenarios.stage.stage import PAGE, Guest, Stage

NONCANONICAL = 1 << 63


def test_an_address_space_of_another_platform(stage: Stage) -> None:
    guest = stage.guest(guests.getpid_loop)
    other = stage.space(stage.platform_with())
    with pytest.raises(TypeError, match="not an address space of this platform"):
        guest.context.switch(other, guest.state)
    guest.syscalls(3)


def test_something_else_than_an_address_space(stage: Stage) -> None:
    guest = stage.guest(guests.getpid_loop)
    with pytest.raises(TypeError):
        guest.context.switch(None, guest.state)  # type: ignore[arg-type]
    guest.syscalls(3)


def test_a_state_of_another_machine(stage: Stage) -> None:
    guest = stage.guest(guests.getpid_loop)
    for size in (0, 16, len(guest.state.xstate) + 64):
        with pytest.raises(ValueError, match="make it by new_state"):
            guest.context.switch(guest.space, State(bytes(size)))
        guest.syscalls(3)


@pytest.mark.parametrize("register", ["fs_base", "gs_base"])
@pytest.mark.parametrize("resident", [False, True], ids=["default", "resident"])
def test_registers_that_the_kernel_refuses(stage: Stage, register: str, resident: bool) -> None:
    account = Accounts(stage, stage.space(), resident=resident)
    guest = account.guest
    for _ in range(3):
        account.run(5)
        guest.state[register] = NONCANONICAL
        with pytest.raises(HostError, match="loading the guest's registers"):
            guest.switch()
        guest.state[register] = 0
    account.run(5)
    assert account.calls == 20


@pytest.mark.parametrize("resident", [False, True], ids=["default", "resident"])
def test_an_extended_state_that_the_kernel_refuses(stage: Stage, resident: bool) -> None:
    account = Accounts(stage, stage.space(), resident=resident)
    account.run(5)
    account.guest.context.pull()
    good = bytes(account.guest.state.xstate)
    account.guest.state.write_xstate(good[:24] + b"\xff" * 4 + good[28:512] + b"\xff" * 64 + good[576:])  # XSAVE header
    with pytest.raises(HostError, match="the extended state is not acceptable"):
        account.guest.switch()
    account.guest.state.write_xstate(good)
    account.run(5)


def test_close_may_be_said_twice(stage: Stage) -> None:
    stage.guest(guests.getpid_loop).switch()
    stage.platform.close()
    stage.platform.close()


#: What to do with a guest whose platform is closed.
USES: dict[str, Callable[[Guest], object]] = {
    "new_address_space": lambda guest: guest.platform.new_address_space(),
    "new_context": lambda guest: guest.platform.new_context(),
    "switch": lambda guest: guest.context.switch(guest.space, guest.state),
    "map_file": lambda guest: guest.space.map_file(PAGE * 1000, guest.data.fd, 0, PAGE, Access.READ),
    "unmap": lambda guest: guest.space.unmap(PAGE * 1000, PAGE),
    "release": lambda guest: guest.space.release(),
}


@pytest.mark.parametrize("use", USES.values(), ids=USES)
@pytest.mark.parametrize("switched", [False, True], ids=["fresh", "used"])
def test_a_closed_platform_is_of_no_use(stage: Stage, use: Callable[[Guest], object], switched: bool) -> None:
    guest = stage.guest(guests.getpid_loop)
    if switched:
        assert guest.switch() == Syscall(Number.GETPID)
    stage.platform.close()
    with pytest.raises(Released):
        use(guest)


@pytest.mark.parametrize("use", ["map_file", "unmap", "switch", "release"])
def test_a_released_address_space_is_of_no_use(stage: Stage, use: str) -> None:
    guest = stage.guest(guests.getpid_loop)
    guest.switch()
    guest.space.release()
    with pytest.raises(Released):
        USES[use](guest)
