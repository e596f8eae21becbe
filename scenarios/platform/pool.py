"""Released address spaces: recycled without a trace of the last owner, one owner at a time, bounded in number."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

from worldswitch.harness.contract import Access, AddressSpace, Busy, Fault, Interrupted, Released, Syscall
from worldswitch.scenarios import guests
from worldswitch.scenarios.declare import scenario
from worldswitch.scenarios.guests import Number, Program
from worldswitch.scenarios.stage.deaths import kill, outcome_of, stub_of, wait_until_gone
from worldswitch.scenarios.stage.expected_errors import refused
from worldswitch.scenarios.stage.pacing import await_progress, running
from worldswitch.scenarios.stage.processes import descendants_of, mappings_of
from worldswitch.scenarios.stage.stage import PAGE, Guest, InspectableAddressSpace, Stage

#: Left behind by one guest, and not to be found by the next.
SECRET = b"\xa5SECRET\x5a"

#: The address of a guest's secret page, away from the stage's mappings.
SECRET_PLACE = 0x5000_0000


@scenario("PO01", "PO07", clauses=("seed.Release", "seed.newSubprocess"), normal=5, soak=100)
def released_stubs_are_used_again_last_in_first_out(stage: Stage) -> None:
    """Three released address spaces give their processes to the next three, the latest first."""
    for _ in range(stage.trial.repeat):
        first = [stage.space() for _ in range(3)]
        pids = [stub_of(stage, space) for space in first]
        for space in first:
            space.release()
        second = [stage.space() for _ in range(3)]
        assert [stub_of(stage, space) for space in second] == pids[::-1]
        for space in second:
            stage.guest(guests.getpid_loop, space=space).syscalls(3)
            space.release()


@scenario("PO02", clauses=("seed.Release", "seed.unmap", "seed.I14"), normal=5, soak=100)
def a_recycled_stub_holds_nothing_of_its_last_guest(stage: Stage) -> None:
    """A stub's next guest finds no secret of the last one in memory, general registers or vectors."""
    for _ in range(stage.trial.repeat):
        pid = _leave_a_secret(stage, guests.xmm_fill)
        _find_no_secret(stage, guests.xmm_store, pid)


@scenario("PO02", clauses=("seed.Release", "seed.unmap", "seed.I14"), needs="avx", normal=5, soak=100)
def a_recycled_stub_holds_nothing_of_wide_vectors_either(stage: Stage) -> None:
    """A stub's next guest finds no secret of the last one in the upper halves of AVX registers."""
    for _ in range(stage.trial.repeat):
        pid = _leave_a_secret(stage, guests.ymm_fill)
        _find_no_secret(stage, guests.ymm_store, pid)


@scenario("PO03", clauses=("seed.Release", "seed.W15"), normal=5, soak=100)
def a_second_release_is_refused_and_gives_nothing_away(stage: Stage) -> None:
    """A second release raises `Released`, and the process keeps one owner at a time."""
    for _ in range(stage.trial.repeat):
        space = stage.space()
        space.release()
        refused(space.release, Released)
        owners = [stage.space(), stage.space()]
        assert len({stub_of(stage, owner) for owner in owners}) == 2
        refused(space.release, Released)
        stage.guest(guests.getpid_loop, space=owners[0]).syscalls(3)
        for owner in owners:
            owner.release()


@scenario("PO04", clauses=("gvisor f01bf248c", "seed.Release"), normal=5, soak=100)
def an_address_space_in_use_is_not_released(stage: Stage) -> None:
    """A release while a guest runs raises `Busy` at once, and works after the guest has returned."""
    for _ in range(stage.trial.repeat):
        guest = stage.guest(guests.count_loop)
        thread = running(stage, guest)
        stage.bounded(partial(refused, guest.space.release, Busy), 2)
        await_progress(stage, guest)
        guest.context.interrupt()
        assert thread.result() == Interrupted()
        guest.space.release()


@scenario("PO05", clauses=("seed.Release", "seed.W15"), normal=5, soak=100)
def a_released_address_space_is_of_no_use(stage: Stage) -> None:
    """Every use of a released address space raises `Released` and does not affect the process's next owner."""
    for _ in range(stage.trial.repeat):
        former = stage.guest(guests.getpid_loop)
        space, pid = stage.inspect(former.space), stub_of(stage, former.space)
        former.syscalls(3)
        former.space.release()
        owner = stage.guest(guests.getpid_loop)
        assert stub_of(stage, owner.space) == pid
        owner.syscalls(3)
        for use in (
            former.switch,
            partial(space.map_file, owner.data_address, former.data.fd, 0, PAGE, Access.READ),
            partial(space.unmap, owner.data_address, PAGE),
            partial(space.inject, Number.GETPID),
            partial(getattr, space, "stub"),
        ):
            refused(use, Released)
        owner.syscalls(3)
        assert owner.data.word() == owner.state["r12"] == 5
        owner.space.release()


@scenario("PO06", clauses=("seed.Release", "seed.W15", "seed.I10"), quick=3, normal=10, soak=200)
def a_stub_that_died_in_the_pool_is_not_handed_out(stage: Stage) -> None:
    """A pooled stub that is killed is reaped and not handed out."""
    for _ in range(stage.trial.repeat):
        space = stage.space()
        pid = stub_of(stage, space)
        space.release()
        kill(pid)
        _expect_another_stub(stage, pid)


@scenario("PO06", clauses=("seed.Release", "seed.W15", "seed.I10"), quick=3, normal=10, soak=200)
def a_dead_stub_does_not_get_into_the_pool(stage: Stage) -> None:
    """A stub that was killed before its release is not pooled."""
    for _ in range(stage.trial.repeat):
        guest = stage.guest(guests.getpid_loop)
        guest.syscalls(1)
        pid = stub_of(stage, guest.space)
        kill(pid)
        stage.bounded(partial(outcome_of, guest.space.release), 2)
        _expect_another_stub(stage, pid)


@scenario("PO07", clauses=("seed.Release", "seed.newSubprocess", "seed.I12"), normal=5, soak=200)
def what_is_released_in_the_background_is_nobodys_until_it_is_empty(stage: Stage) -> None:
    """An address space made right after a background release is empty and stays its owner's."""
    for _ in range(stage.trial.repeat):
        former = stage.guest(guests.getpid_loop)
        former.syscalls(1)
        former.space.release(wait=False)
        space = stage.inspect(stage.space())
        assert _mapped(space) == 1, "a new address space contains more than the stub"
        guest = stage.guest(guests.getpid_loop, space=space)
        guest.syscalls(3)
        stage.space().release()  # the background work is done by then
        guest.syscalls(3)
        space.release()


@scenario("PO07", clauses=("seed.Release", "seed.W15"), normal=5, soak=200)
def what_is_released_in_the_background_is_used_again(stage: Stage) -> None:
    """A process released in the background soon serves another address space."""
    for _ in range(stage.trial.repeat):
        space = stage.space()
        pid = stub_of(stage, space)
        space.release(wait=False)
        spaces: list[AddressSpace] = []

        def comes_back(pid: int = pid, spaces: list[AddressSpace] = spaces) -> bool:
            spaces.append(stage.space())
            return stub_of(stage, spaces[-1]) == pid or len(spaces) > 20

        stage.wait_until(comes_back, claim=f"stub {pid} serves again")
        assert stub_of(stage, spaces[-1]) == pid, f"{len(spaces)} new stubs, none of them {pid}"
        for other in spaces:
            other.release()


@scenario("PO08", clauses=("seed.W15", "gvisor#12209"), quick=50, normal=200, soak=500, deadline=60)
def the_pool_is_bounded_and_closing_leaves_nothing(stage: Stage) -> None:
    """At most `pool_limit` processes of released spaces are kept, and `close` leaves no process and no descriptor."""
    us, limit = os.getpid(), 8
    before, open_before = descendants_of(us), _open_files()
    platform = stage.platform_with(pool_limit=limit)
    own = len(descendants_of(us) - before)
    spaces = [platform.new_address_space() for _ in range(stage.trial.repeat)]
    assert len({stub_of(stage, space) for space in spaces}) == stage.trial.repeat
    for space in spaces:
        space.release()
    stage.wait_until(lambda: len(descendants_of(us) - before) <= own + limit, 5, f"at most {limit} stubs are kept")
    platform.close()
    stage.wait_until(lambda: descendants_of(us) <= before, 5, "every process of the platform is gone")
    assert _open_files() <= open_before


# --------------------------------------------------------------------------------------------------------------- pieces


def _leave_a_secret(stage: Stage, fill: Program) -> int:
    """Let a guest store the secret wherever it can, and release its address space; the stub."""
    guest = stage.guest(fill, r13=int.from_bytes(SECRET, "little"), r14=int.from_bytes(SECRET, "little"))
    guest.data[0:PAGE] = SECRET * (PAGE // len(SECRET))
    stage.map(guest.space, stage.memory(PAGE, SECRET), address=SECRET_PLACE)
    guest.syscalls(2)
    assert SECRET in bytes(guest.state.xstate)
    pid = stub_of(stage, guest.space)
    guest.space.release()
    return pid


def _find_no_secret(stage: Stage, store: Program, pid: int) -> None:
    """Let a guest in the same stub look for the secret everywhere."""
    guest = stage.guest(store, rdi=SECRET_PLACE)
    assert stub_of(stage, guest.space) == pid
    guest.syscalls(1)
    assert guest.data[0:PAGE] == bytes(PAGE)
    assert SECRET not in bytes(guest.state.xstate)
    assert SECRET not in bytes(guest.state.registers)
    guest.enter(guests.read_at)
    assert guest.run_to(Fault).address == SECRET_PLACE
    guest.space.release()


def _expect_another_stub(stage: Stage, pid: int) -> None:
    """Check that a new address space works and is not in process `pid`, which must be gone."""
    space: AddressSpace = stage.bounded(stage.space)
    assert stub_of(stage, space) != pid
    guest: Guest = stage.guest(guests.getpid_loop, space=space)
    assert guest.switch() == Syscall(Number.GETPID)
    wait_until_gone(stage, pid)
    space.release()


def _mapped(space: InspectableAddressSpace) -> int:
    """The number of its mappings, without the vsyscall page."""
    return sum(mapping.name != "[vsyscall]" for mapping in mappings_of(space.stub.pid))


def _open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())
