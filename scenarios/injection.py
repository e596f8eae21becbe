"""Injected system calls: made by the stub on the platform's behalf, they give exactly what such a call gives."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from functools import partial

from worldswitch.harness.arch import registers
from worldswitch.harness.contract import Access, AddressSpace, Death, HostError
from worldswitch.scenarios import guests
from worldswitch.scenarios.catalogue import scenario
from worldswitch.scenarios.deaths import KILLED, cause_of, kill
from worldswitch.scenarios.guests import Number
from worldswitch.scenarios.injected import FUTEX_TID_MASK, INJECTABLE, Call, Room, Waiting, current_call
from worldswitch.scenarios.processes import descendants_of, process_state
from worldswitch.scenarios.senders import CATCHABLE, STORM, Sender
from worldswitch.scenarios.stage import PAGE, InspectableAddressSpace, Memory, Stage
from worldswitch.scenarios.storms import Accounts
from worldswitch.scenarios.undisturbed import GETPID, makes_calls, outcome_of

#: What takes a waiting call out of the kernel: an ignored signal, one that would end a process, one that would stop it.
DISTURBANCES = (signal.SIGCHLD, signal.SIGTERM, signal.SIGSTOP, signal.SIGCONT)


def injected(space: InspectableAddressSpace, number: Number, *arguments: int) -> int:
    """Give the result of an injected call that must succeed."""
    outcome = outcome_of(partial(space.inject, number, *arguments))
    assert isinstance(outcome, int), f"an injected {number.name} gave {outcome!r}"
    return outcome


# ------------------------------------------------------------------------------------------ restarts


@scenario("IJ01", clauses=("seed.syscallIgnoreInterrupt", "kernel.R1"), normal=3, soak=100)
def a_read_interrupted_by_signals_is_restarted(stage: Stage) -> None:
    """An injected read of a pipe (ERESTARTSYS) outlasts signals, and reads the byte that comes in the end."""
    room = Room(stage)
    with Sender() as other:
        for _ in range(stage.trial.repeat):
            waiting = Waiting(room, room.read())
            waiting.goes_on_despite(other, *DISTURBANCES)
            waiting.ends_with_its_result()
            assert room.memory[0:1] == b"!"
            room.memory[0:1] = b"\0"


@scenario("IJ01", clauses=("seed.createStub", "seed.syscallIgnoreInterrupt"), normal=3, soak=100)
def a_wait_for_a_child_is_restarted(stage: Stage) -> None:
    """An injected wait4 outlasts the SIGCHLD of a child that stops and goes on, and collects the child's death."""
    room = Room(stage)
    with Sender() as other, no_child_left(room):
        for _ in range(stage.trial.repeat):
            child = injected(room.space, Number.CLONE, signal.SIGCHLD)
            waiting = Waiting(room, Call(Number.WAIT4, (child, room.address), partial(kill, child), child))
            for signo, is_stopped in ((signal.SIGSTOP, True), (signal.SIGCONT, False)):
                other.kill(child, signo)
                stage.wait_until(lambda: (process_state(child) == "T") == is_stopped)  # noqa: B023 (called at once)
                waiting.waits_on("the SIGCHLD of a child that stopped or went on")
            waiting.goes_on_despite(other, *DISTURBANCES)
            waiting.ends_with_its_result()
            assert room.memory.word() & 0x7F == signal.SIGKILL


@scenario("IJ02", clauses=("seed.syscallIgnoreInterrupt", "kernel.R1"), normal=3, soak=100)
def a_select_interrupted_by_signals_is_restarted(stage: Stage) -> None:
    """An injected select (ERESTARTNOHAND) outlasts signals, and says in the end which file is ready."""
    room = Room(stage)
    with Sender() as other:
        for _ in range(stage.trial.repeat):
            waiting = Waiting(room, room.select())
            waiting.goes_on_despite(other, *DISTURBANCES)
            waiting.ends_with_its_result()


@scenario("IJ02", clauses=("seed.syscallIgnoreInterrupt", "kernel.R1"))
def a_pause_goes_on_until_the_stub_dies(stage: Stage) -> None:
    """An injected pause outlasts all signals, asleep each time, and the death of the stub ends it with the cause."""
    room = Room(stage)
    with Sender() as other:
        waiting = Waiting(room, Call(Number.PAUSE, (), lambda: None, 0))
        waiting.goes_on_despite(other, *DISTURBANCES, *CATCHABLE)
        kill(waiting.pid)
        assert cause_of(lambda: raised(waiting.running.result())) == KILLED


def raised(outcome: object) -> object:
    """Raise what is an error, and give back what is none."""
    if isinstance(outcome, BaseException):
        raise outcome
    return outcome


@scenario("IJ03", clauses=("seed.syscallIgnoreInterrupt", "futex(2) FUTEX_LOCK_PI"), normal=3, soak=100)
def a_lock_interrupted_by_signals_is_restarted(stage: Stage) -> None:
    """An injected lock of a futex (ERESTARTNOINTR) outlasts signals, and is got once, by the thread that asked."""
    room = Room(stage)
    with Sender() as other:
        for _ in range(stage.trial.repeat):
            waiting = Waiting(room, room.lock())
            waiting.goes_on_despite(other, *DISTURBANCES)
            waiting.ends_with_its_result()
            assert room.memory.word() & FUTEX_TID_MASK == waiting.tid, "another thread than the one that asked has it"


@scenario("IJ03", clauses=("seed.clone", "fact.H1"), quick=10, normal=100, soak=2000, deadline=150)
def a_clone_in_a_signal_storm_makes_one_child(stage: Stage) -> None:
    """However often pending signals send an injected clone back (ERESTARTNOINTR), there is one child in the end."""
    room = Room(stage)
    stub = room.space.stub

    def clone() -> None:
        for _ in range(stage.trial.repeat):
            child = injected(room.space, Number.CLONE, signal.SIGCHLD)
            kill(child)
            assert injected(room.space, Number.WAIT4, -1, 0, 0, 0) == child, "there was another child"
            assert refusal(lambda: room.space.inject(Number.WAIT4, -1, 0, os.WNOHANG, 0)) == errno.ECHILD

    with Sender() as other, no_child_left(room), other.storm(stub.pid, STORM):
        stage.bounded(clone, 10 + stage.trial.repeat / 20)


@contextlib.contextmanager
def no_child_left(room: Room) -> Iterator[None]:
    """Kill what children the stub still has: nobody else would."""
    stub = room.space.stub
    try:
        yield
    finally:
        for pid in descendants_of(stub.pid):
            kill(pid)


@scenario("IJ04", "K17", clauses=("seed.W6", "kernel.R1", "kernel.R4"), normal=3, soak=50)
def a_poll_with_a_timeout_interrupted_by_signals_is_handled(stage: Stage) -> None:
    """An injected poll with a timeout (ERESTART_RESTARTBLOCK) outlasts signals, and says that a file is ready."""
    room = Room(stage)
    with Sender() as other:
        for _ in range(stage.trial.repeat):
            waiting = Waiting(room, room.poll())
            waiting.goes_on_despite(other, *DISTURBANCES)
            waiting.ends_with_its_result()


@scenario("IJ04", "K17", clauses=("seed.W6", "kernel.R1", "kernel.R4"), normal=3, soak=50)
def a_futex_wait_with_a_timeout_interrupted_by_signals_is_handled(stage: Stage) -> None:
    """An injected futex wait with a timeout (ERESTART_RESTARTBLOCK) outlasts signals, and ends when it is woken."""
    room = Room(stage)
    with Sender() as other:
        for _ in range(stage.trial.repeat):
            waiting = Waiting(room, room.futex_wait())
            waiting.goes_on_despite(other, *DISTURBANCES)
            waiting.ends_with_its_result()


@scenario("IJ04", "K17", clauses=("seed.W6", "nanosleep(2)", "restart_syscall(2)"))
def a_sleep_interrupted_over_and_over_ends_in_time(stage: Stage) -> None:
    """An injected sleep (ERESTART_RESTARTBLOCK) that signals interrupt all the time sleeps as long as was asked."""
    room, seconds = Room(stage), 0.3
    with Sender() as other:
        begin = time.monotonic()
        waiting = Waiting(room, room.sleep(seconds))
        while not waiting.running.is_over:
            other.tgkill(waiting.pid, waiting.tid, signal.SIGUSR1)
            assert time.monotonic() - begin < stage.trial.seconds(4), "a sleep of 0.3 s begins again at each signal"
        waiting.ends_with_its_result()
        assert time.monotonic() - begin >= seconds, "a signal ended the sleep early"


# ------------------------------------------------------------------------------------------ results


@scenario("IJ05", "K10", clauses=("seed.syscall", "kernel.S2", "ptrace(2) PTRACE_SYSEMU"), normal=20, soak=1000)
def a_switch_does_not_shift_the_results_of_injected_calls(stage: Stage) -> None:
    """Calls injected between the switches of the same thread give their own results, and the guest's stay its own."""
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


@scenario("IJ06", clauses=("seed.W7", "kernel.M2"))
def an_injected_call_that_faults_is_an_error_at_once(stage: Stage) -> None:
    """A stub whose own page is gone faults on each return to it; that is found out at once, and is the stub's death."""
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
    """A stub whose page was replaced by something else is found out by the first fault, and is dead to everybody."""
    room = Room(stage)
    stub, zeros = room.space.stub, stage.memory(PAGE)
    access, shared_fixed = Access.READ | Access.EXECUTE, 0x11  # <linux/mman.h>: MAP_SHARED | MAP_FIXED

    def replace_the_page() -> None:
        room.space.inject(Number.MMAP, stub.begin, PAGE, access, shared_fixed, zeros.fd, 0)
        room.space.inject(Number.GETPID)

    assert stage.bounded(lambda: cause_of(replace_the_page), 2).death == Death.BROKEN
    assert stage.bounded(lambda: cause_of(lambda: room.space.unmap(room.address, PAGE))).death == Death.BROKEN


@scenario("IJ08", clauses=("seed.syscall", "gvisor 76ff1947b"), normal=5, soak=100)
def an_injected_call_has_its_arguments_and_zeros(stage: Stage) -> None:
    """All six arguments arrive as given, in all their bits, and those that are not given are zero."""
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
    """What the kernel refuses comes back as that error, and the address space can be used as before."""
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


def refusal(operation: Callable[[], object]) -> int | None:
    """Tell with which errno the host refuses `operation`; None if it does not."""
    try:
        operation()
    except HostError as error:
        return error.errno
    return None


def map_for_writing(space: AddressSpace, address: int, file: int) -> None:
    """Map the first page of a file so that guests may write to it."""
    space.map_file(address, file, 0, PAGE, Access.READ | Access.WRITE)


def read_only(memory: Memory) -> int:
    """Open the file behind `memory` anew, for reading."""
    return os.open(f"/proc/self/fd/{memory.fd}", os.O_RDONLY)


def sealed() -> int:
    """Make a file of one page that nobody can write to."""
    file = os.memfd_create("worldswitch-sealed", os.MFD_ALLOW_SEALING)
    os.ftruncate(file, PAGE)
    fcntl.fcntl(file, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE)
    return file


@scenario("IJ10", clauses=("seed.syscall", "seed.initRegs"), normal=20, soak=1000)
def injected_calls_leave_a_guests_registers_alone(stage: Stage) -> None:
    """Between two switches of a guest, injected calls change none of its registers, general or vector."""
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
