"""Registers that no thread can have: refused with an error or reported by an event, and never loaded in part.

PTRACE_SETREGS writes register by register, and keeps what it wrote before the one it refuses (kernel.M7).
"""

from __future__ import annotations

import errno
import itertools
import signal
from random import Random

import pytest

from worldswitch.harness.arch import registers
from worldswitch.harness.contract import Access, Fault, HostError, Signal, Syscall
from worldswitch.scenarios import guests
from worldswitch.scenarios.declare import scenario
from worldswitch.scenarios.guests import Number
from worldswitch.scenarios.stage.stage import Guest, Stage
from worldswitch.scenarios.stage.steady_guests import outcome_of

SI_KERNEL = 0x80  # asm-generic/siginfo.h
ALL_ONES = 0xFFFF_FFFF_FFFF_FFFF

GETPID = Syscall(Number.GETPID)

#: The first address of the kernel's half, and addresses that no paging mode has.
KERNELS = 0xFFFF_8000_0000_0000
NONCANONICAL = 1 << 63
BAD_BASES = tuple(itertools.product(("fs_base", "gs_base"), (NONCANONICAL, 1 << 62, (1 << 63) - 1)))

SEGMENTS = ("cs", "ss", "ds", "es", "fs", "gs")

#: Values for the state's selectors, which the platform ignores: nulls, the kernel's, 32-bit code, data, invalid.
SELECTORS = (0, 0x10, 0x18, 0x23, 0x2B, 0x33, 0x37, 0xFFFF, ALL_ONES)


@scenario("EX07", "K64", clauses=("gvisor 99d595869", "seed.W20", "kernel.M7"))
def a_base_the_kernel_refuses_is_an_error_until_it_is_mended(stage: Stage) -> None:
    """A segment base that is no address raises EIO and changes no register, and the guest continues without it."""
    guest = stage.guest(guests.getpid_loop)
    stub = stage.inspect(guest.space).stub
    assert guest.switch() == GETPID
    for count, (base, value) in enumerate(BAD_BASES):
        guest.state[base] = value
        before = _general(guest)
        for _ in range(2):
            with pytest.raises(HostError) as refusal:
                guest.switch()
            assert refusal.value.errno == errno.EIO
            assert _general(guest) == before
        guest.state[base] = 0
        guest.state.result = value
        assert guest.switch() == GETPID
        assert (guest.state["r12"], guest.state.arguments[0]) == (count + 1, value)
    assert stage.inspect(guest.space).stub.pid == stub.pid


@scenario("EX07", "K64", clauses=("gvisor 99d595869", "kernel.M7", "fact.E11"))
def registers_that_were_taken_before_a_refusal_are_nobody_elses(stage: Stage) -> None:
    """After a refused load, another context on the same stub thread runs with its own registers, all of them."""
    owner = stage.guest(guests.twiddle_syscall)
    random = Random(7)
    for base, value in BAD_BASES:
        for name in registers.GENERAL[:15]:
            owner.state[name] = random.getrandbits(64)
        for result in (random.getrandbits(64), random.getrandbits(31)):
            owner.run_to(Syscall)
            _be_refused(stage, owner, base, value)
            owner.state.result = result
            given = _general(owner)
            assert owner.switch() == Syscall(result ^ ALL_ONES)
            changed = {name for name, held in given.items() if owner.state[name] != held ^ ALL_ONES}
            assert changed <= {"rcx", "r11", "rip", "eflags", "fs_base", "gs_base"}
            assert owner.state.pc == owner.code + len(guests.twiddle_syscall.code) - 2


@scenario("EX07", "K64", clauses=("kernel.M7", "kernel.I4"))
def a_program_counter_nobody_can_have_is_the_guests_fault(stage: Stage) -> None:
    """A rip that no address can have is a SIGSEGV of the guest at that rip, and the guest can continue."""
    guest = stage.guest(guests.getpid_loop)
    for place in (NONCANONICAL, KERNELS, 1 << 62):
        guest.state.pc = place
        for _ in range(2):
            event = guest.switch()
            assert guest.state.pc == place
            if isinstance(event, Fault):
                assert event.address == place == KERNELS
                assert (event.signo, event.access) == (signal.SIGSEGV, Access.EXECUTE)
            else:
                assert event == Signal(signal.SIGSEGV, SI_KERNEL)
        guest.state.pc = guest.code
        assert guest.switch() == GETPID
        assert guest.state["r12"] == 0


@scenario("EX07", "K64", clauses=("kernel.M7", "seed.switchToApp"))
def selectors_are_the_platforms(stage: Stage) -> None:
    """A guest runs as 64-bit code, with native system calls, whatever its state's selectors say."""
    guest = stage.guest(guests.getpid_loop)
    for count, (register, selector) in enumerate(itertools.product(SEGMENTS, SELECTORS)):
        guest.state[register] = selector
        assert outcome_of(guest.switch) == GETPID
        assert guest.state["r12"] == count


def _be_refused(stage: Stage, owner: Guest, base: str, value: int) -> None:
    """Try to load a bad base, with all other registers changed, in a context on the owner's thread."""
    intruder = stage.guest(guests.getpid_loop, space=owner.space)
    for name in registers.GENERAL[:15]:
        intruder.state[name] = 0xBAD0_BAD0_BAD0_BAD0
    intruder.state[base] = value
    with pytest.raises(HostError):
        intruder.switch()


def _general(guest: Guest) -> dict[str, int]:
    return {name: guest.state[name] for name in registers.GENERAL}
