"""Guests that got loose, and calls that no stub may make: nothing of the host is reached, from any code, by any call.

A guest gets loose where its tracer vanishes without PTRACE_O_EXITKILL.  It runs untraced until the platform finds that,
and all that stands between it and the host is the stub's seccomp filter.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from worldswitch.harness.contract import Access, Cause, Death, Platform
from worldswitch.scenarios import guests
from worldswitch.scenarios.declare import scenario
from worldswitch.scenarios.guests import Number
from worldswitch.scenarios.stage import children
from worldswitch.scenarios.stage.children import Line
from worldswitch.scenarios.stage.deaths import LOST, cause_of, outcome_of, stub_of, wait_until_gone
from worldswitch.scenarios.stage.pacing import dice
from worldswitch.scenarios.stage.processes import MemoryMapping, mappings_of, process_state, threads_of
from worldswitch.scenarios.stage.stage import PAGE, Guest, InspectableAddressSpace, Stage
from worldswitch.scenarios.stage.thread_exits import by_vanishing, depart

ALL_ONES = 2**64 - 1

#: The numbers of the native table, with some beyond it.
TABLE = range(480)
X32 = 1 << 30  # __X32_SYSCALL_BIT, <asm/unistd.h>

#: Calls that would change more than the stub, with all arguments -1: vhangup, msgget; and those that leave a process.
HARMFUL = frozenset((153, 68, Number.FORK, Number.VFORK))

#: uretprobe and uprobe, which newer kernels let through every filter.  They are for the kernel's own trampolines: any
#: other caller gets a signal.
UNFILTERED = frozenset((335, 336))

OTHERS = [number for number in TABLE if number not in HARMFUL | UNFILTERED]

#: What a platform may need to inject (`Options.injectable`).
PLATFORMS_OWN = frozenset(
    (Number.MMAP, Number.MUNMAP, Number.GETPID, Number.PAUSE, Number.RESTART_SYSCALL, Number.CLONE)
)

#: <linux/sched.h>: what distinguishes a process from a thread, or changes what a thread is a member of.
CLONE_VM, CLONE_FS, CLONE_FILES, CLONE_SIGHAND, CLONE_PTRACE, CLONE_VFORK, CLONE_PARENT, CLONE_THREAD = (
    *(0x100, 0x200, 0x400, 0x800, 0x2000, 0x4000, 0x8000, 0x10000),
)
CLONE_NEWNS, CLONE_UNTRACED, CLONE_NEWUSER = 0x2_0000, 0x80_0000, 0x1000_0000
SIGCHLD = int(signal.SIGCHLD)
SHARES_ALL = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND
PROCESSES = (
    *(SIGCHLD, CLONE_VM | SIGCHLD, CLONE_VM | CLONE_VFORK | SIGCHLD, CLONE_PARENT | SIGCHLD, SHARES_ALL | SIGCHLD),
    *(CLONE_NEWUSER | SIGCHLD, CLONE_NEWNS | SIGCHLD, CLONE_UNTRACED | SIGCHLD, 0),
    *(SHARES_ALL | CLONE_THREAD | CLONE_UNTRACED, SHARES_ALL | CLONE_THREAD | CLONE_PTRACE),
)

SYSCALL = b"\x0f\x05"  # Intel SDM 2B, "SYSCALL"
VSYSCALLS = (0xFFFF_FFFF_FF60_0000, 0xFFFF_FFFF_FF60_0400, 0xFFFF_FFFF_FF60_0800)  # gettimeofday, time, getcpu

MAP_SHARED_FIXED = 0x11  # <linux/mman.h>


# ------------------------------------------------------------------------------------------------------- from own code


@scenario(
    "EV11",
    clauses=("kernel.D5", "seccomp(2)", "seed.lookupOrCreate"),
    needs="seccomp",
    quick=16,
    normal=64,
    soak=2000,
    deadline=60,
)
def a_loose_guest_makes_no_call_of_any_number(stage: Stage) -> None:
    """No system call of a guest that got loose returns, whatever its number; the stub dies."""
    platform, chance = _lax(stage), dice(stage)
    for _ in range(stage.trial.repeat):
        number = chance.choice(OTHERS)
        leap = Leap(stage, platform, number | chance.choice((0, 0, 0, X32)), (ALL_ONES,) * 6)
        leap.lands_at(stage.load(guests.stray_call, leap.guest.space))
        assert leap.returned == 0, f"a loose guest's call of number {number:#x} returned"


@scenario("EV11", clauses=("seccomp(2)", "seed.patchSignalInfo"), needs="seccomp", quick=3, normal=9, soak=90)
def a_loose_guest_reads_no_clock_from_the_vsyscall_page(stage: Stage) -> None:
    """A guest that got loose and jumps to the vsyscall page dies, and no word of the host's clock is written."""
    platform = _lax(stage)
    for turn in range(stage.trial.repeat):
        leap = Leap(stage, platform, 0)
        leap.guest.state["rsp"] -= 64  # where the kernel looks for the address to return to
        leap.guest.data[128:144] = b"\xff" * 16
        result = leap.guest.data_address + 128
        leap.set_call(0, (result, result + 8))
        leap.lands_at(VSYSCALLS[turn % len(VSYSCALLS)])
        assert leap.guest.data[128:144] == b"\xff" * 16, "the host's clock, or CPU, is in the guest's memory"


@scenario("SG22", clauses=("core(5)", "kernel.D5"), needs="seccomp", normal=3, soak=30)
def a_loose_guest_that_is_killed_leaves_no_core_dump(stage: Stage) -> None:
    """A guest that got loose and dies of a system call leaves no file with its memory, where its harness would."""
    for _ in range(stage.trial.repeat):
        children.run(stage, partial(_die_where_cores_are_dumped, stage), 15)


def _die_where_cores_are_dumped(stage: Stage, _: Line) -> None:
    try:
        tempfile.gettempdir()
    except FileNotFoundError as refusal:
        stage.trial.note(str(refusal))
        return
    most = resource.getrlimit(resource.RLIMIT_CORE)[1]
    resource.setrlimit(resource.RLIMIT_CORE, (most, most))
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        if not _leaves_a_core_dump(Path(folder)):
            stage.trial.note("a process that aborts here leaves no file in its folder")
            return
        leap = Leap(stage, _lax(stage), Number.GETPID)
        leap.lands_at(stage.load(guests.stray_call, leap.guest.space))
        assert not [*Path(folder).iterdir()], "a killed stub has left a core dump"


def _leaves_a_core_dump(folder: Path) -> bool:
    """Whether a process of its own that aborts leaves a file in this folder, which is removed."""
    pid = os.fork()
    if pid == 0:
        Path("/proc/self/coredump_filter").write_text("0")
        os.abort()
    os.waitpid(pid, 0)
    found = [*folder.iterdir()]
    for path in found:
        path.unlink()
    return bool(found)


# ------------------------------------------------------------------------------------------------- from the stub's code


@scenario("EV12", clauses=("kernel.D5", "seccomp(2)", "clone(2) CLONE_FILES"), needs="seccomp", normal=5, soak=50)
def a_loose_guest_in_the_stubs_code_maps_no_file(stage: Stage) -> None:
    """A guest that got loose and jumps to a system call instruction of the stub maps no descriptor of the harness."""
    platform = _lax(stage)
    secret = stage.memory(PAGE, b"the harness's own memory")
    for _ in range(stage.trial.repeat):
        for offset in range(_call_count(stage, platform)):
            leap = Leap(stage, platform, Number.MMAP)
            address = stage.place(leap.guest.space, PAGE)
            leap.set_call(Number.MMAP, (address, PAGE, Access.READ | Access.WRITE, MAP_SHARED_FIXED, secret.fd, 0))
            leap.lands_at(_calls_of(leap.space)[offset], until=partial(_is_mapped, address))
            assert not leap.got_through, "a loose guest has mapped a file of the harness"


@scenario("EV12", clauses=("kernel.D5", "seccomp(2)", "clone(2)"), needs="seccomp", normal=5, soak=50)
def a_loose_guest_in_the_stubs_code_makes_no_thread(stage: Stage) -> None:
    """A guest that got loose and jumps to a system call instruction of the stub makes no thread, and unmaps nothing."""
    platform = _lax(stage)
    thread = SHARES_ALL | CLONE_THREAD | 0x4_0000  # CLONE_SYSVSEM
    for _ in range(stage.trial.repeat):
        for offset in range(_call_count(stage, platform)):
            leap = Leap(stage, platform, Number.CLONE, (thread,))
            leap.lands_at(_calls_of(leap.space)[offset], until=_has_more_threads)
            assert not leap.got_through, "a loose guest has made a thread"
            leap = Leap(stage, platform, Number.MUNMAP)
            leap.set_call(Number.MUNMAP, (leap.guest.code, PAGE))
            leap.lands_at(_calls_of(leap.space)[offset], until=_has_no_code)
            assert not leap.got_through, "a loose guest has unmapped memory"


@scenario("EV14", clauses=("seccomp(2)", "kernel.seccomp"), needs="seccomp", normal=5, soak=50)
def code_that_resembles_the_stubs_is_not_the_stubs(stage: Stage) -> None:
    """A loose guest's call beside the stub's page, or where the lower half of the address is the same, is forbidden."""
    platform = stage.platform_with(exit_kill=False, injectable=(Number.WRITE,))
    outlet, inlet = os.pipe()
    os.set_blocking(outlet, False)
    for _ in range(stage.trial.repeat):
        for make in (_twin_of_the_page, _last_bytes_below):
            leap = Leap(stage, platform, Number.WRITE)
            leap.set_call(Number.WRITE, (inlet, leap.guest.data_address, 8))
            leap.lands_at(make(stage, leap.space), until=partial(_has_bytes, outlet))
            assert not leap.got_through, f"a loose guest's write from {make.__name__} was made"


# ------------------------------------------------------------------------------------------------------------- injected


@scenario(
    "EV13", clauses=("seccomp(2)", "kernel.seccomp"), needs="seccomp", quick=16, normal=64, soak=2000, deadline=60
)
def an_injected_call_of_any_other_number_ends_the_stub(stage: Stage) -> None:
    """Any injected call that is neither the platform's own nor `injectable` is a death by seccomp, as x32 call too."""
    numbers = [number for number in OTHERS if number not in PLATFORMS_OWN]
    chance = dice(stage)
    for _ in range(stage.trial.repeat):
        number = chance.choice(numbers)
        for call in (number, number | X32):
            space = stage.inspect(stage.space())
            _is_condemned(stage, partial(space.inject, call, *(ALL_ONES,) * 6), f"the injected call {call:#x}")


@scenario("EV13", clauses=("seccomp(2)", "clone(2)"), needs="seccomp", normal=5, soak=50)
def an_injected_clone_makes_threads_alone(stage: Stage) -> None:
    """An injected clone with the flags of a process, a namespace or an untraced thread ends the stub."""
    for _ in range(stage.trial.repeat):
        for flags in PROCESSES:
            space = stage.inspect(stage.space())
            _is_condemned(stage, partial(space.inject, Number.CLONE, flags), f"a clone with flags {flags:#x}")


def _is_condemned(stage: Stage, call: Callable[[], object], what: str) -> None:
    outcome = stage.bounded(partial(outcome_of, call), 2)
    cause = getattr(outcome, "cause", None)
    assert cause == Cause(Death.SECCOMP, signal.SIGSYS), f"{what} was {outcome!r}"


# --------------------------------------------------------------------------------------------------------------- pieces


#: Where the guests `leap` and `stray_call` have words in their data, behind the number and the arguments; in bytes.
ARRIVED, TARGET, RETURNED = 56, 64, 72


class Leap:
    """A guest that gets loose, and then jumps with the registers of a system call."""

    def __init__(self, stage: Stage, platform: Platform, number: int, arguments: tuple[int, ...] = ()) -> None:
        self.stage = stage
        self.guest: Guest = stage.guest(guests.leap, platform=platform)
        self.space: InspectableAddressSpace = stage.inspect(self.guest.space)
        self.pid = stub_of(stage, self.space)
        self.threads = 0
        self.got_through = False
        self.set_call(number, arguments)

    def set_call(self, number: int, arguments: tuple[int, ...]) -> None:
        """The number and arguments that it jumps with."""
        for index, value in enumerate((number, *arguments)):
            self.guest.data.set_word(8 * index, value)

    @property
    def returned(self) -> int:
        """How many of its calls from `stray_call` have returned."""
        return self.guest.data.word(RETURNED)

    def lands_at(self, target: int, until: Callable[[Leap], bool] = lambda _: False) -> None:
        """Let it get loose and jump to `target`, until its stub has died or `until` holds; the stub dies anyway."""
        self.guest.data.set_word(TARGET, target)
        depart(self.stage, self._reports_once, by_vanishing)
        self.stage.wait_until(lambda: self._is_over(until), 3, "the platform ends a loose guest")
        arrived = self.guest.data.word(ARRIVED)
        self.stage.trial.note(f"the loose guest {'jumped' if arrived else 'was ended before it jumped'}")
        cause = self.stage.bounded(partial(cause_of, self.guest.switch), 2)
        assert (cause.death, cause.signo) in LOST, f"a loose guest's stub: {cause}"
        wait_until_gone(self.stage, self.pid)

    def _reports_once(self) -> None:
        self.guest.syscalls(1)
        self.threads = len(threads_of(self.pid))

    def _is_over(self, until: Callable[[Leap], bool]) -> bool:
        self.got_through = self.got_through or until(self)
        return self.got_through or self.returned != 0 or process_state(self.pid) in (None, "Z", "X")


def _lax(stage: Stage) -> Platform:
    return stage.platform_with(exit_kill=False)


def _code_of(space: InspectableAddressSpace) -> bytes:
    stub = space.stub
    with Path(f"/proc/{stub.pid}/mem").open("rb") as memory:
        memory.seek(stub.begin)
        return memory.read(stub.end - stub.begin)


def _calls_of(space: InspectableAddressSpace) -> list[int]:
    """The addresses of the system call instructions in the stub's code."""
    code, begin = _code_of(space), space.stub.begin
    return [begin + offset for offset in range(len(code) - 1) if code[offset : offset + 2] == SYSCALL]


def _call_count(stage: Stage, platform: Platform) -> int:
    return len(_calls_of(stage.inspect(stage.space(platform))))


def _twin_of_the_page(stage: Stage, space: InspectableAddressSpace) -> int:
    """The first system call instruction in a copy of the stub's code, where the address has the same lower half."""
    first = _calls_of(space)[0]
    begin = space.stub.begin
    copy = stage.memory(PAGE, _code_of(space))
    stage.map(space, copy, Access.READ | Access.EXECUTE, address=begin & 0xFFFF_FFFF)
    return first & 0xFFFF_FFFF


def _last_bytes_below(stage: Stage, space: InspectableAddressSpace) -> int:
    """A system call instruction in the last bytes of the page below the stub's: behind it begins the stub's page."""
    begin = space.stub.begin
    code = stage.memory(PAGE, bytes(PAGE - len(SYSCALL)) + SYSCALL)
    stage.map(space, code, Access.READ | Access.EXECUTE, address=begin - PAGE)
    return begin - len(SYSCALL)


def _is_mapped(address: int, leap: Leap) -> bool:
    return _covers(_mappings(leap.pid), address)


def _has_no_code(leap: Leap) -> bool:
    mappings = _mappings(leap.pid)  # looked up once: none at all is a dead stub's
    return bool(mappings) and not _covers(mappings, leap.guest.code)


def _covers(mappings: list[MemoryMapping], address: int) -> bool:
    return any(mapping.begin <= address < mapping.end for mapping in mappings)


def _mappings(pid: int) -> list[MemoryMapping]:
    try:
        return mappings_of(pid)
    except (FileNotFoundError, ProcessLookupError):
        return []


def _has_more_threads(leap: Leap) -> bool:
    return len(threads_of(leap.pid)) > leap.threads


def _has_bytes(outlet: int, _: Leap) -> bool:
    try:
        return os.read(outlet, 8) != b""
    except BlockingIOError:
        return False
