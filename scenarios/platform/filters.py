"""Harnesses under seccomp filters of their own, which their stubs inherit."""

from __future__ import annotations

import errno
import itertools
import os
import signal
from collections.abc import Callable, Iterator

from worldswitch.harness.contract import Access, AddressSpace, Death, DeathPolicy, HostError, Syscall
from worldswitch.scenarios import guests
from worldswitch.scenarios.declare import scenario
from worldswitch.scenarios.guests import Number
from worldswitch.scenarios.stage import children
from worldswitch.scenarios.stage.children import Line
from worldswitch.scenarios.stage.confinement import (
    ERRNO,
    FORKS,
    KILL_PROCESS,
    KILL_THREAD,
    LOG,
    TRACE,
    TRAP,
    USER_NOTIF,
    FilterRule,
    filter_all_threads,
    filter_this_thread,
)
from worldswitch.scenarios.stage.deaths import KILLED, cause_of, kill, stub_of, wait_until_gone
from worldswitch.scenarios.stage.processes import descendants_of
from worldswitch.scenarios.stage.senders import tgkill
from worldswitch.scenarios.stage.stage import PAGE, Stage
from worldswitch.scenarios.stage.steady_guests import makes_calls, outcome_of

#: An errno that none of these calls gives by itself.
PECULIAR = errno.EXDEV

#: Filter actions that do not kill, with the errno of the call; None if the call is made.
ANSWERS = ((ERRNO | PECULIAR, PECULIAR), (TRACE, errno.ENOSYS), (USER_NOTIF, errno.ENOSYS), (LOG, None))

#: Filter actions that kill a stub; a trap does too, since a stub has no handler.
KILLS = (TRAP, KILL_THREAD, KILL_PROCESS)

#: What the filters match: mappings from a guest address on, and a clone's exit signal.
FILTERED = 0x7000_0000
EXIT_SIGNALS = range(signal.SIGUSR1, signal.SIGUSR1 + 16)

NO_FORKS = tuple(FilterRule(number, ERRNO | errno.EPERM) for number in FORKS)
NO_KILL = FilterRule(Number.KILL, KILL_PROCESS)


# --------------------------------------------------------------------------------------------------- the harness itself


@scenario("EV05", clauses=("seed.globalPool", "seccomp(2)"), needs="seccomp")
def a_thread_that_may_not_fork_still_gets_address_spaces(stage: Stage) -> None:
    """A thread whose filter forbids new processes can still make address spaces."""

    def use(_: Line) -> None:
        stage.space().release()
        filter_this_thread(*NO_FORKS)
        for _turn in range(3):
            outcome = outcome_of(lambda: makes_calls(stage.guest(guests.getpid_loop), 3))
            assert outcome is None, f"under the filter: {outcome!r}"

    children.run(stage, use, 10)


@scenario(
    "EV05",
    "K70",
    clauses=("seed.W20", "gvisor afee3faf0", "seccomp(2) SECCOMP_FILTER_FLAG_TSYNC"),
    needs="seccomp_everywhere",
)
def a_process_that_may_not_fork_keeps_what_it_has(stage: Stage) -> None:
    """Where no thread may create processes, a new space works or raises that errno, and old ones keep working."""

    def use(_: Line) -> None:
        guest = stage.guest(guests.getpid_loop)
        makes_calls(guest, 3)
        filter_all_threads(*NO_FORKS)
        for _turn in range(3):
            outcome = outcome_of(stage.space)
            assert not isinstance(outcome, Exception) or errno_of(outcome) == errno.EPERM, f"{outcome!r}"
        makes_calls(guest, 3)
        outcome = outcome_of(lambda: stage.map(guest.space, stage.memory()))
        assert isinstance(outcome, int), f"{outcome!r}"

    children.run(stage, use, 10)


@scenario("EV05", clauses=("gvisor fd598912b", "seed.W3"), needs="seccomp_everywhere")
def a_process_that_may_not_kill_can_lose_a_stub(stage: Stage) -> None:
    """A harness whose filter kills it for kill(2) survives the death of a stub."""

    def use(_: Line) -> None:
        guest = stage.guest(guests.getpid_loop)
        makes_calls(guest, 3)
        filter_all_threads(NO_KILL)
        stub = stub_of(stage, guest.space)
        tgkill(stub, stub, signal.SIGKILL)
        assert cause_of(guest.switch) == KILLED
        wait_until_gone(stage, stub)
        makes_calls(stage.guest(guests.getpid_loop), 3)
        stage.platform.close()

    children.run(stage, use, 10)


@scenario("EV05", clauses=("gvisor fd598912b", "seed.W3"), needs="seccomp_everywhere")
def a_process_that_may_not_kill_can_still_die_with_its_stub(stage: Stage) -> None:
    """The policy that ends the platform with its stub ends it by SIGKILL and not by a violation of its own filter."""

    def use(line: Line) -> None:
        guest = stage.guest(guests.getpid_loop, platform=stage.platform_with(death_policy=DeathPolicy.PLATFORM))
        filter_all_threads(NO_KILL)
        line.send(stub_of(stage, guest.space))
        while True:
            guest.switch()

    harness = children.fork(stage, use)
    stub = harness.hear(10)
    assert isinstance(stub, int)
    kill(stub)
    assert harness.wait(5).signal == signal.SIGKILL


# --------------------------------------------------------------------------------------------------- what stubs inherit


@scenario("K69", clauses=("kernel.seccomp", 'seccomp(2) "Return values"'), needs="seccomp")
def what_a_filter_answers_is_the_outcome_of_an_injected_call(stage: Stage) -> None:
    """A filter's answer to an injected call (an errno, ENOSYS without a tracer or listener, a log) is its outcome."""

    def use(_: Line) -> None:
        filter_this_thread(*(rule for action, _ in ANSWERS for rule in rules_of(action)))
        guest = stage.guest(guests.getpid_loop, platform=stage.platform_with(injectable=(Number.CLONE,)))
        for (action, expected), name in itertools.product(ANSWERS, CALLS):
            outcome = outcome_of(lambda: CALLS[name](stage, guest.space, action))  # noqa: B023 (called at once)
            assert errno_of(outcome) == expected, f"action {action:#x} on {name}: {outcome!r}"
            makes_calls(guest, 2)

    children.run(stage, use, 15)


@scenario("K69", clauses=("kernel.seccomp", "seed.W13", "seed.W27"), needs="seccomp")
def what_a_filter_kills_for_is_the_death_of_the_stub(stage: Stage) -> None:
    """A stub whose filter traps or kills is a typed death by seccomp, and other stubs live."""

    def use(_: Line) -> None:
        filter_this_thread(*(rule for action in KILLS for rule in rules_of(action)))
        platform = stage.platform_with(injectable=(Number.CLONE,))
        bystander = stage.guest(guests.getpid_loop, platform=platform)
        for action, name in itertools.product(KILLS, CALLS):
            space = stage.space(platform)
            stub = stub_of(stage, space)
            death = cause_of(lambda: CALLS[name](stage, space, action)).death  # noqa: B023 (called at once)
            assert death is Death.SECCOMP, f"action {action:#x} on {name}: {death}"
            wait_until_gone(stage, stub)
            makes_calls(bystander, 2)

    children.run(stage, use, 15)


@scenario("K70", clauses=("seed.globalPool", "seccomp(2) SECCOMP_FILTER_FLAG_TSYNC"), needs="seccomp_everywhere")
def a_filter_that_comes_late_is_for_new_stubs_only(stage: Stage) -> None:
    """A filter on all threads of the harness changes no existing stub; a new one may raise the filter's errno."""

    def use(_: Line) -> None:
        old = stage.space()
        filter_all_threads(FilterRule(Number.MMAP, ERRNO | PECULIAR, (0, FILTERED)))
        assert errno_of(outcome_of(lambda: map_and_read(stage, old))) is None
        for _turn in range(3):
            outcome = outcome_of(lambda: map_and_read(stage, stage.space()))
            assert outcome is None or errno_of(outcome) == PECULIAR, f"{outcome!r}"

    children.run(stage, use, 10)


@scenario("EV09", clauses=("linux 93e35efb8de4", "kernel.seccomp"), needs="sysemu seccomp")
def a_guests_calls_never_meet_a_filter(stage: Stage) -> None:
    """A guest's system calls are reported and never reach a filter that kills for them."""

    def use(_: Line) -> None:
        deadly = (Number.VFORK, Number.EXECVE)  # calls that this process does not make
        filter_this_thread(*(FilterRule(number, KILL_PROCESS) for number in deadly))
        for number in deadly:
            guest = stage.guest(guests.syscall_loop)
            for _turn in range(3):
                guest.state.result = number
                assert guest.switch() == Syscall(number)

    children.run(stage, use, 10)


# --------------------------------------------------------------------------------------------------------------- pieces


def errno_of(outcome: object) -> int | None:
    """The errno of the host's refusal; None if it did not refuse."""
    assert isinstance(outcome, HostError) or not isinstance(outcome, Exception), f"a refusal reported as {outcome!r}"
    return outcome.errno if isinstance(outcome, HostError) else None


def mark_of(action: int) -> tuple[int, int]:
    """The address and exit signal by which a filter recognises the calls for an action."""
    number = (KILL_PROCESS, KILL_THREAD, TRAP, ERRNO, USER_NOTIF, TRACE, LOG).index(action & 0xFFFF_0000)
    return FILTERED + number * PAGE, EXIT_SIGNALS[number]


def rules_of(action: int) -> Iterator[FilterRule]:
    """Rules that apply this action to the calls that `CALLS` makes for it, and to no others."""
    address, signo = mark_of(action)
    yield FilterRule(Number.MMAP, action, (0, address))
    yield FilterRule(Number.MUNMAP, action, (0, address))
    yield FilterRule(Number.CLONE, action, (0, signo))


def _map(stage: Stage, space: AddressSpace, action: int) -> None:
    memory = stage.memory(PAGE)
    space.map_file(mark_of(action)[0], memory.fd, 0, PAGE, Access.READ)


def _unmap(_: Stage, space: AddressSpace, action: int) -> None:
    space.unmap(mark_of(action)[0], PAGE)


def _clone(stage: Stage, space: AddressSpace, action: int) -> None:
    child = stage.inspect(space).inject(Number.CLONE, mark_of(action)[1])
    assert child in descendants_of(os.getpid()), f"no child {child} was made"
    kill(child)


#: The injected calls that a filter sees, with arguments that identify the action.
CALLS: dict[str, Callable[[Stage, AddressSpace, int], None]] = {"mmap": _map, "munmap": _unmap, "clone": _clone}


def map_and_read(stage: Stage, space: AddressSpace) -> None:
    """Map where a filter may forbid it, and check that a guest can read it."""
    memory = stage.memory(PAGE, b"mapped")
    space.map_file(FILTERED, memory.fd, 0, PAGE, Access.READ)
    reader = stage.guest(guests.read_at, space=space, rdi=FILTERED)
    event = reader.switch()
    assert isinstance(event, Syscall), f"what was mapped cannot be read: {event!r}"
