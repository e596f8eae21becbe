"""Injected system calls: the stub makes them for the platform, and they return exactly what the kernel does."""

from __future__ import annotations

import errno
import fcntl
import os
import random
from collections.abc import Callable

from worldswitch.harness.arch import registers
from worldswitch.harness.contract import Access, AddressSpace, Death
from worldswitch.scenarios import guests
from worldswitch.scenarios.declare import scenario
from worldswitch.scenarios.guests import Number
from worldswitch.scenarios.stage.accounts import Accounts
from worldswitch.scenarios.stage.deaths import cause_of
from worldswitch.scenarios.stage.pacing import dice
from worldswitch.scenarios.stage.senders import STORM, SignalSender
from worldswitch.scenarios.stage.stage import PAGE, GuestPages, Stage
from worldswitch.scenarios.stage.steady_guests import GETPID, makes_calls, outcome_of
from worldswitch.scenarios.stage.waiting_calls import (
    INJECTABLE,
    Call,
    Room,
    Waiting,
    current_call,
    injected,
    refusal,
)


@scenario("IJ05", "K10", clauses=("seed.syscall", "kernel.S2", "ptrace(2) PTRACE_SYSEMU"), normal=20, soak=1000)
def a_switch_does_not_shift_the_results_of_injected_calls(stage: Stage) -> None:
    """Calls injected between the switches of a thread return their own results, and so do the guest's calls."""
    platform = stage.platform_with(injectable=INJECTABLE)
    guest = stage.guest(guests.getpid_loop, platform=platform)
    space = stage.inspect(guest.space)
    page = stage.memory(PAGE)
    address = stage.place(space, PAGE)

    def switch_and_inject() -> None:
        for _ in range(stage.trial.repeat):
            makes_calls(guest, 1)
            assert injected(space, Number.GETPID) == space.stub.pid
            assert refusal(lambda: space.inject(Number.CLOSE, 1 << 30)) == errno.EBADF
            makes_calls(guest, 1)
            assert outcome_of(lambda: space.map_file(address, page.fd, 0, PAGE, Access.READ)) is None
            assert outcome_of(lambda: space.unmap(address, PAGE)) is None

    stage.bounded(switch_and_inject, 10)


@scenario("IJ05", "K11", clauses=("seed.syscall", "kernel.S2"), quick=50, normal=500, soak=20_000, deadline=120)
def an_injected_call_has_its_effect_once(stage: Stage) -> None:
    """An injected call is made exactly once, whatever stops precede it and switches surround it."""
    room = Room(stage)
    guest = stage.guest(guests.getpid_loop, space=room.space, platform=room.platform)
    source, sink = os.pipe()
    room.memory[0:PAGE] = bytes(index % 251 for index in range(PAGE))

    def write_and_switch() -> None:
        for index in range(stage.trial.repeat):
            assert injected(room.space, Number.WRITE, sink, room.address + index % PAGE, 1) == 1
            assert os.read(source, PAGE) == room.memory[index % PAGE : index % PAGE + 1], f"write {index}"
            makes_calls(guest, 1)

    with SignalSender() as other, other.storm(room.space.stub.pid, STORM):
        stage.bounded(write_and_switch, 10 + stage.trial.repeat / 200)


@scenario("IJ06", clauses=("seed.W7", "kernel.M2"))
def an_injected_call_that_faults_is_an_error_at_once(stage: Stage) -> None:
    """An injected call in a stub whose page is unmapped is reported at once as the stub's death."""
    guest = stage.guest(guests.getpid_loop, platform=stage.platform_with(injectable=INJECTABLE))
    space = stage.inspect(guest.space)
    stub = space.stub

    def pull_the_rug() -> None:
        space.inject(Number.MUNMAP, stub.begin, stub.end - stub.begin)
        space.inject(Number.GETPID)

    assert stage.bounded(lambda: cause_of(pull_the_rug), 2).death == Death.BROKEN
    assert stage.bounded(lambda: cause_of(guest.switch)).death == Death.BROKEN


@scenario("IJ06", clauses=("seed.W7", "kernel.M3"))
def an_injected_call_into_other_code_is_an_error_at_once(stage: Stage) -> None:
    """An injected call in a stub whose page was replaced is reported at once as the stub's death, to every caller."""
    room = Room(stage)
    stub, zeros = room.space.stub, stage.memory(PAGE)
    access, shared_fixed = Access.READ | Access.EXECUTE, 0x11  # <linux/mman.h>: MAP_SHARED | MAP_FIXED

    def replace_the_page() -> None:
        room.space.inject(Number.MMAP, stub.begin, PAGE, access, shared_fixed, zeros.fd, 0)
        room.space.inject(Number.GETPID)

    assert stage.bounded(lambda: cause_of(replace_the_page), 2).death == Death.BROKEN
    assert stage.bounded(lambda: cause_of(lambda: room.space.unmap(room.address, PAGE))).death == Death.BROKEN


@scenario(
    "IJ07",
    clauses=("seed.syscall", "seed.W13", "gvisor 17c18241c"),
    quick=200,
    normal=3000,
    soak=1_000_000,
    deadline=900,
)
def however_many_calls_are_injected_no_stop_is_lost(stage: Stage) -> None:
    """Each of many injected calls returns its own result and not another call's."""
    room, chance = Room(stage), dice(stage)
    nowhere = os.open(os.devnull, os.O_WRONLY)

    def inject() -> None:
        for number in range(stage.trial.repeat):
            length = chance.randint(1, PAGE)
            written = injected(room.space, Number.WRITE, nowhere, room.address, length)
            assert written == length, f"call {number}: {written} of {length} bytes"
            assert refusal(lambda: room.space.inject(Number.CLOSE, 1 << 30)) == errno.EBADF

    stage.bounded(inject, 10 + stage.trial.repeat / 1500)


@scenario("IJ08", clauses=("seed.syscall", "gvisor 76ff1947b"), normal=5, soak=100)
def an_injected_call_has_its_arguments_and_zeros(stage: Stage) -> None:
    """An injected call passes all six arguments in all their bits, with zeros for those not given."""
    room = Room(stage)
    for _ in range(stage.trial.repeat):
        read = room.read()
        for more in ((random.getrandbits(64), 0x8000_0000_0000_0000, 0xFFFF_FFFF_FFFF_FE00), ()):
            call = Call(read.number, (*read.arguments, *more), read.end, read.result)
            waiting = Waiting(room, call)
            seen = current_call(waiting.pid, waiting.tid)
            assert seen == [call.number, *(*call.arguments, 0, 0, 0)[:6]], f"the kernel sees {seen}"
            waiting.ends_with_its_result()


@scenario("IJ09", clauses=("seed.W20", "kernel.M1"))
def a_refusal_of_the_host_is_told_with_its_errno(stage: Stage) -> None:
    """An injected call that the kernel refuses raises that errno, and the address space stays usable."""
    guest = stage.guest(guests.getpid_loop, platform=stage.platform_with(injectable=INJECTABLE))
    space = stage.inspect(guest.space)
    address = stage.place(space, PAGE)
    private_anonymous = 0x22  # <linux/mman.h>: MAP_PRIVATE | MAP_ANONYMOUS
    refusals: dict[int, list[Callable[[], object]]] = {
        errno.EBADF: [
            lambda: space.inject(Number.CLOSE, 1 << 30),
            lambda: space.map_file(address, 1 << 20, 0, PAGE, Access.READ),
        ],
        errno.EINVAL: [lambda: space.inject(Number.MUNMAP, 1, PAGE)],
        errno.ENOMEM: [lambda: space.inject(Number.MMAP, 0, 1 << 60, 0, private_anonymous, 2**64 - 1, 0)],
        errno.EACCES: [lambda: map_for_writing(space, address, read_only(stage.memory(PAGE)))],
        errno.EPERM: [lambda: map_for_writing(space, address, sealed())],
    }

    def refuse_all() -> None:
        for error, operations in refusals.items():
            for operation in operations:
                assert refusal(operation) == error
                makes_calls(guest, 2)

    stage.bounded(refuse_all)


def map_for_writing(space: AddressSpace, address: int, file: int) -> None:
    """Map the first page of a file writable for guests."""
    space.map_file(address, file, 0, PAGE, Access.READ | Access.WRITE)


def read_only(memory: GuestPages) -> int:
    """Open the file behind `memory` again, read-only."""
    return os.open(f"/proc/self/fd/{memory.fd}", os.O_RDONLY)


def sealed() -> int:
    """A file of one page, sealed against writing."""
    file = os.memfd_create("worldswitch-sealed", os.MFD_ALLOW_SEALING)
    os.ftruncate(file, PAGE)
    fcntl.fcntl(file, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE)
    return file


@scenario("IJ10", clauses=("seed.syscall", "seed.initRegs"), normal=20, soak=1000)
def injected_calls_leave_a_guests_registers_alone(stage: Stage) -> None:
    """Calls injected between two switches of a guest change none of its registers, general or vector."""
    platform = stage.platform_with(injectable=INJECTABLE)
    space = stage.inspect(stage.space(platform))
    accounts = Accounts(stage, space, platform=platform)
    twiddler = stage.guest(guests.twiddle_syscall, space=space, platform=platform)
    names = [name for name in registers.GENERAL[:15] if name not in ("rax", "rcx", "r11")]
    for name in names:
        twiddler.state[name] = random.getrandbits(64)

    def switch_and_inject() -> None:
        for _ in range(stage.trial.repeat):
            expected = {name: ~twiddler.state[name] & 2**64 - 1 for name in (*names, "rsp")}
            twiddler.state.result = ~Number.GETPID
            assert outcome_of(lambda: twiddler.context.switch(space, twiddler.state)) == GETPID
            found = {name: twiddler.state[name] for name in expected}
            assert found == expected, "an injected call changed a guest's registers"
            accounts.run(1)
            injected(space, Number.GETPID)
            refusal(lambda: space.inject(Number.CLOSE, 1 << 30))

    stage.bounded(switch_and_inject)
