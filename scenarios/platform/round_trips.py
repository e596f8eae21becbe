"""Round trips: what a guest puts into its registers is in its state, and in force wherever the state is loaded again.

A guest's own instructions can set more than PTRACE_SETREGS takes (kernel.M7): segment bases in the kernel's half of the
addresses, and the ID flag.

Seed: subprocess.switchToApp.
"""

from __future__ import annotations

import itertools
import signal
import time
from collections.abc import Callable, Iterator

import pytest

from worldswitch.harness.arch import registers
from worldswitch.harness.contract import Event, Interrupted, Signal, Syscall
from worldswitch.scenarios import guests
from worldswitch.scenarios.declare import scenario
from worldswitch.scenarios.guests import Number, Program
from worldswitch.scenarios.stage.pacing import dice
from worldswitch.scenarios.stage.senders import tgkill
from worldswitch.scenarios.stage.stage import Guest, Stage
from worldswitch.scenarios.stage.steady_guests import outcome_of

GETPID = Syscall(Number.GETPID)
ALL_ONES = 0xFFFF_FFFF_FFFF_FFFF

#: The first address beyond the users' with four-level paging, and addresses of the kernel's half.
BEYOND = (1 << 47) - 4096
KERNELS = 0xFFFF_8000_0000_0000
HIGH_BASES = (BEYOND, BEYOND + 4095, KERNELS, 0xFFFF_FFFF_8000_0000, 0xFFFF_FFFF_FFFF_FFFF)

#: Signals that an instruction may raise, and others may send.
SIGNALS = (signal.SIGUSR1, signal.SIGSEGV, signal.SIGILL, signal.SIGTRAP, signal.SIGURG)

ILL_ILLOPN = 2  # asm-generic/siginfo.h

#: asm/processor-flags.h: the flags that popf sets for a program, except the trap flag.
PLAIN = 0x202
NESTED, ALIGNMENT, IDENTIFICATION = 0x4000, 0x4_0000, 0x20_0000
RESUME_FLAG = 0x1_0000
SETTABLE = (0x1, 0x4, 0x10, 0x40, 0x80, 0x400, 0x800, NESTED, ALIGNMENT, IDENTIFICATION)

#: Registers that `twiddle_syscall` and `twiddle_fault` invert, without those that a system call changes.
TWIDDLED = (*(name for name in registers.NAMES[:15] if name not in ("rcx", "r11")), "rsp")


# -------------------------------------------------------------------------------------------------------- segment bases


@scenario("EX20", clauses=("kernel.M7", "seed.switchToApp"), needs="fsgsbase")
def bases_of_the_kernels_half_go_round(stage: Stage) -> None:
    """A guest that sets its bases to any address the processor accepts has them after each switch, on any thread."""
    guest = stage.guest(guests.load_selectors)
    for fs, gs in itertools.product((*HIGH_BASES, 0x1000), repeat=2):
        for switch in _places(stage, guest):
            guest.state.pc, guest.state["rdi"], guest.state["rsi"] = guest.code, fs, gs
            assert outcome_of(guest.switch) == GETPID
            assert (guest.state["fs_base"], guest.state["gs_base"]) == (fs, gs)
            guest.state["rbp"] = fs ^ gs
            assert outcome_of(switch) == GETPID
            assert (guest.state["r14"], guest.state["r15"], guest.state["rbp"]) == (fs, gs, fs ^ gs)
            assert (guest.state["fs_base"], guest.state["gs_base"]) == (fs, gs)


@scenario("EX20", clauses=("kernel.M7", "seed.I14"), needs="fsgsbase")
def bases_of_the_kernels_half_are_nobody_elses(stage: Stage) -> None:
    """Another guest on the same stub thread has its own bases, and a stub whose guests set such bases can be reused."""
    one, other = _pair(stage, guests.load_selectors)
    for base in HIGH_BASES:
        for guest, bases in ((one, (base, base)), (other, (0x1000, 0x2000))):
            guest.state["rdi"], guest.state["rsi"] = bases
            assert outcome_of(guest.switch) == GETPID
        for guest, bases in ((one, (base, base)), (other, (0x1000, 0x2000))):
            assert outcome_of(guest.switch) == GETPID
            assert (guest.state["r14"], guest.state["r15"]) == bases
    one.space.release()
    assert stage.guest(guests.getpid_loop).switch() == GETPID


@scenario("EX20", clauses=("seed.NotifyInterrupt", "seed.I8"), needs="fsgsbase", quick=60, normal=600, soak=20_000)
def a_guest_with_such_bases_is_interrupted_like_any_other(stage: Stage) -> None:
    """An interrupt, or a foreign signal, at any moment of a switch with such bases is an interrupt, or nothing."""
    guest = stage.guest(guests.count_loop, fs_base=KERNELS, gs_base=BEYOND)
    stub = stage.inspect(guest.space).stub
    random, count = dice(stage), 0
    for _ in range(stage.trial.repeat):
        delay = random.random() * 0.0002
        stopping = stage.thread(_disturb, guest, stub.pid, random.choice(SIGNALS), delay)
        assert stage.bounded(lambda: outcome_of(guest.switch)) == Interrupted()
        stopping.result()
        assert (guest.state["fs_base"], guest.state["gs_base"]) == (KERNELS, BEYOND)
        assert guest.state["r12"] >= count
        count = guest.state["r12"]


def _disturb(guest: Guest, pid: int, signo: int, delay: float) -> None:
    """Signal every thread of the guest's stub, and interrupt its context after a while."""
    stub = guest.stage.inspect(guest.space).stub
    for tid in stub.tids[1:]:
        tgkill(pid, tid, signo)
    time.sleep(delay)
    guest.context.interrupt()


# ---------------------------------------------------------------------------------------------------------------- flags


@scenario("EX20", clauses=("kernel.M7", "Intel SDM 1, 3.4.3", "seed.switchToApp"))
def flags_that_a_guest_sets_go_round(stage: Stage) -> None:
    """A guest that sets flags by popf has them after each switch, on any thread: each alone, and all together."""
    guest = stage.guest(guests.load_flags)
    for flags in (0, *SETTABLE, sum(SETTABLE)):
        for switch in _places(stage, guest):
            guest.state.pc, guest.state["rdi"] = guest.code, PLAIN | flags
            assert guest.switch() == GETPID
            assert guest.state["eflags"] == PLAIN | flags
            assert switch() == GETPID
            assert (guest.state["rsi"], guest.state["eflags"]) == (PLAIN | flags, PLAIN | flags)


@scenario("EX20", clauses=("kernel.M7", "seed.I14"))
def flags_that_a_guest_sets_are_nobody_elses(stage: Stage) -> None:
    """Another guest on the same stub thread does not see flags that a guest set there by popf."""
    one, other = _pair(stage, guests.load_flags)
    for flags in SETTABLE:
        one.state["rdi"], other.state["rdi"] = PLAIN | flags, PLAIN
        assert [one.switch(), other.switch(), one.switch(), other.switch()] == [GETPID] * 4
        assert (one.state["rsi"], other.state["rsi"]) == (PLAIN | flags, PLAIN)


# ---------------------------------------------------------------------------------------------- each register by itself


@scenario("EX22", clauses="seed.switchToApp")
@pytest.mark.parametrize("program", [guests.twiddle_syscall, guests.twiddle_fault], ids=lambda p: p.name)
def a_register_that_alone_was_changed_is_changed(stage: Stage, program: Program) -> None:
    """After an event the caller changes one register and no other: the guest finds that change, and no other."""
    guest = stage.guest(program)
    for number, name in enumerate(TWIDDLED, start=1):
        guest.state[name] = number * 0x0101_0101_0101_0101
    guest.switch()
    for name in TWIDDLED:
        for switch in _places(stage, guest):
            guest.state[name] ^= 0x8421_0F1E_2D3C_4B5A
            guest.state.pc = guest.code
            given = [guest.state[known] for known in TWIDDLED]
            switch()
            assert [guest.state[known] ^ ALL_ONES for known in TWIDDLED] == given


@scenario("EX22", clauses="seed.switchToApp")
@pytest.mark.parametrize("name", ["rax", "rcx", "r11", "rsp", "eflags", "fs_base", "gs_base"])
def a_register_with_a_meaning_of_its_own_is_changed_alone(stage: Stage, name: str) -> None:
    """Of the registers that calls, traps or the kernel also change, each that the caller changes alone is changed."""
    guest = stage.guest(guests.ud2, fs_base=0x1234_5000, gs_base=0x5678_9000)
    values = (PLAIN, PLAIN | 0x8D5) if name == "eflags" else (0x5A5A_0123_4567, 0x2DEA_DBEE_FEED)
    for value in values * 2:
        for switch in _places(stage, guest):
            guest.state[name] = value
            given = _general(guest)
            assert switch() == Signal(signal.SIGILL, ILL_ILLOPN, guest.code)
            assert _general(guest) == given


# -------------------------------------------------------------------------------------------------------------- helpers


def _general(guest: Guest) -> dict[str, int]:
    """The guest's registers, without the resume flag, which faults set."""
    values = {name: guest.state[name] for name in registers.GENERAL}
    return {**values, "eflags": values["eflags"] & ~RESUME_FLAG}


def _pair(stage: Stage, program: Program) -> tuple[Guest, Guest]:
    """Two guests on one stub thread."""
    one = stage.guest(program)
    return one, stage.guest(program, space=one.space)


def _places(stage: Stage, guest: Guest) -> Iterator[Callable[[], Event]]:
    """Switches of a guest's state: as before; by another context; and in another address space, on another thread."""
    beside = stage.platform.new_context()
    yield guest.switch
    yield lambda: beside.switch(guest.space, guest.state)
    elsewhere = stage.guest(guest.program)
    assert elsewhere.code == guest.code
    yield lambda: stage.bounded(lambda: elsewhere.context.switch(elsewhere.space, guest.state))
