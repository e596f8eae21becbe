"""Processor features that not every machine has: CPUID faulting, protection keys, shadow stacks, AMX, segment bases.

Seed: subprocess.switchToApp, forkStub.
"""

from __future__ import annotations

import errno
import itertools
import signal
import struct

import pytest

from worldswitch.harness.contract import Signal, Syscall, Unavailable
from worldswitch.scenarios import guests
from worldswitch.scenarios.declare import scenario
from worldswitch.scenarios.guests import Number
from worldswitch.scenarios.stage.confinement import ERRNO, FilterRule, filter_all_threads
from worldswitch.scenarios.stage.stage import Guest, Stage

# asm-generic/siginfo.h
SI_KERNEL = 0x80
ILL_ILLOPN, ILL_ILLOPC = 2, 1

CPUID = b"\x0f\xa2"
ARCH_SET_CPUID = 0x1012  # arch/x86/include/uapi/asm/prctl.h

GETPID = Syscall(Number.GETPID)
PROTECTION_FAULT = Signal(signal.SIGSEGV, SI_KERNEL)

# ---------------------------------------------------------------------------------------------------------------- CPUID


@scenario("EX14", clauses=("gvisor 29e00c943", "arch_prctl(2) ARCH_SET_CPUID"), needs="cpuid_faulting")
def cpuid_faults_for_the_caller_to_emulate(stage: Stage) -> None:
    """With the option set, CPUID is a protection fault in every thread of every stub."""
    platform = stage.platform_with(cpuid_faults=True)
    for _ in range(2):
        guest = stage.guest(guests.cpuid_once, platform=platform)
        for switch in (guest.switch, lambda guest=guest: stage.bounded(guest.switch)):
            guest.state.pc = guest.code
            _answers_cpuid(guest, switch())
        guest.space.release()


@scenario("EX14", clauses=("gvisor 29e00c943", "arch_prctl(2) ARCH_SET_CPUID"))
def a_platform_never_shows_a_cpuid_that_is_to_fault(stage: Stage) -> None:
    """Where CPUID cannot be made to fault, a platform that is asked to do so raises `Unavailable` with the reason."""
    filter_all_threads(FilterRule(Number.ARCH_PRCTL, ERRNO | errno.ENODEV, (0, ARCH_SET_CPUID)))
    with pytest.raises(Unavailable, match="CPUID"):
        stage.platform_with(cpuid_faults=True)


def _answers_cpuid(guest: Guest, event: object) -> None:
    assert event == PROTECTION_FAULT
    assert guest.state.pc == guest.code
    for number, name in enumerate(("rax", "rbx", "rcx", "rdx")):
        guest.state[name] = number
    guest.state.pc += len(CPUID)
    assert guest.switch() == GETPID
    assert [guest.state[name] for name in ("rbx", "rdx")] == [1, 3]


# ------------------------------------------------------------------------------------------------------------ fs and gs


@scenario("EX02", "K68", clauses="seed.switchToApp")
def a_guest_reads_through_the_bases_it_is_given(stage: Stage) -> None:
    """A guest reads through the fs and gs bases of its state, whatever the selectors, after each change."""
    guest = stage.guest(guests.read_bases)
    for offset, fs, gs in itertools.product((0, 8, 64), (0, 0x2B), (0, 0x2B)):
        guest.data.set_word(offset, 0xF5F5 + offset)
        guest.data.set_word(offset + 1024, 0x6565 + offset)
        guest.state["fs"], guest.state["gs"] = fs, gs
        guest.state["fs_base"], guest.state["gs_base"] = (guest.data_address + offset + more for more in (0, 1024))
        assert guest.switch() == GETPID
        assert (guest.state["r8"], guest.state["r9"]) == (0xF5F5 + offset, 0x6565 + offset)


@scenario("EX02", "K68", clauses=("linux tools/testing/selftests/x86/fsgsbase.c", "seed.switchToApp"), needs="fsgsbase")
def bases_outlive_the_selectors_a_guest_loads(stage: Stage) -> None:
    """A guest that loads selectors and sets bases finds the bases in its state and in force afterwards."""
    guest = stage.guest(guests.load_selectors)
    pairs = itertools.product((0, 0x23, 0x2B), (0, 0x23, 0x2B))
    for number, (fs, gs) in enumerate(pairs, start=1):
        bases = (0x1000_0000 * number, 0x7000_0000_0000 + number)
        guest.state["r12"], guest.state["r13"], guest.state["rdi"], guest.state["rsi"] = fs, gs, *bases
        assert guest.switch() == GETPID
        assert (guest.state["fs_base"], guest.state["gs_base"]) == bases
        assert guest.switch() == GETPID
        assert (guest.state["r14"], guest.state["r15"]) == bases
        assert (guest.state["fs_base"], guest.state["gs_base"]) == bases


# ------------------------------------------------------------------------------------------------------ protection keys


@scenario("EX03", "K65", clauses=("kernel.versions", "gvisor aecf51415"), needs="pku")
@pytest.mark.parametrize("resident", [False, True], ids=["default", "resident"])
def contexts_on_one_thread_keep_their_protection_keys(stage: Stage, resident: bool) -> None:
    """Each context on a stub thread keeps the protection-key rights it set, and a new context may access everything."""
    rights = (0xFFFF_FFF0, 0x0000_000C, 0x5555_5550)
    one = stage.guest(guests.pkru_fill, resident=resident)
    batch = [one, *(stage.guest(guests.pkru_fill, space=one.space, resident=resident) for _ in rights[1:])]
    for guest, right in zip(batch, rights, strict=True):
        guest.data.set_word(0, right)
        assert guest.switch() == GETPID
    for guest, right in zip(batch, rights, strict=True):
        guest.enter(guests.pkru_store)
        assert guest.switch() == GETPID
        assert guest.data.word() == right
    fresh = stage.guest(guests.pkru_store, space=one.space, resident=resident)
    fresh.data.set_word(0, 0x5A5A)
    assert fresh.switch() == GETPID
    assert fresh.data.word() == 0


@scenario("EX03", "K65", clauses="kernel.versions", needs="pku")
def protection_keys_move_with_the_image(stage: Stage) -> None:
    """Protection-key rights are part of a context's image, and in force in another context that is given it."""
    source = stage.guest(guests.pkru_fill)
    source.data.set_word(0, 0xFFFF_FFF0)
    assert source.switch() == GETPID
    target = stage.guest(guests.pkru_store, space=source.space)
    target.state.write_xstate(source.state.xstate)
    assert target.switch() == GETPID
    assert target.data.word() == 0xFFFF_FFF0


# -------------------------------------------------------------------------------------------------------- shadow stacks


@scenario("EX02", "K66", clauses="linux tools/testing/selftests/x86/test_shadow_stack.c", needs="shstk")
def a_guest_returns_to_wherever_it_likes(stage: Stage) -> None:
    """The harness's shadow stack checks no return of a guest."""
    guest = stage.guest(guests.call_function)
    guest.state["r13"] = stage.load(guests.return_only, guest.space)
    assert guest.switch() == GETPID
    returning = stage.load(guests.return_only, guest.space)
    guest.stack.set_word(guest.stack.size - 8, guest.code)
    guest.state.pc, guest.state.sp = returning, guest.stack_address + guest.stack.size - 8
    assert guest.switch() == GETPID


# --------------------------------------------------------------------------------------------------------- matrix tiles


@scenario(
    "EX05", "K67", clauses=("gvisor bb8400681", "gvisor#9750", "linux Documentation/arch/x86/xstate.rst"), needs="amx"
)
def tiles_nobody_asked_for_are_an_invalid_instruction(stage: Stage) -> None:
    """A guest whose harness has no AMX permission gets SIGILL at its first tile, and can continue."""
    configuration = struct.pack("=BB14x8H16x8B8x", 1, 0, *(64,) * 8, *(16,) * 8)
    for _ in range(2):
        guest = stage.guest(guests.clear_tile)
        guest.data[0:64] = configuration
        event = guest.switch()
        assert isinstance(event, Signal)
        assert (event.signo, event.code in (ILL_ILLOPC, ILL_ILLOPN)) == (signal.SIGILL, True)
        assert guest.state.pc == guest.code + 5
        guest.state.pc += 5
        assert guest.switch() == GETPID
        guest.space.release()
