"""Vectors: the extended state (x87, SSE, AVX ...) belongs to a context, whatever else runs on its stub thread.

Seed: subprocess.switchToApp's floating point state.
"""

from __future__ import annotations

from random import Random

import pytest

from worldswitch.harness.contract import Interrupted, Syscall
from worldswitch.scenarios import guests
from worldswitch.scenarios.declare import scenario
from worldswitch.scenarios.guests import Number, Program
from worldswitch.scenarios.stage.stage import Guest, Stage


@scenario("EX03", clauses="seed.W25", quick=5, normal=50, soak=2000)
@pytest.mark.parametrize("resident", [False, True], ids=["default", "resident"])
def contexts_on_one_thread_keep_their_xmm_registers(stage: Stage, resident: bool) -> None:
    """Two contexts on one stub thread neither lose their SSE registers nor see each other's."""
    _share_a_thread(stage, guests.xmm_fill, guests.xmm_store, 16 * 16, resident)


@scenario("EX03", clauses="seed.W25", needs="avx", quick=5, normal=50, soak=2000)
@pytest.mark.parametrize("resident", [False, True], ids=["default", "resident"])
def contexts_on_one_thread_keep_their_ymm_registers(stage: Stage, resident: bool) -> None:
    """Two contexts on one stub thread keep their AVX registers, upper halves included."""
    _share_a_thread(stage, guests.ymm_fill, guests.ymm_store, 16 * 32, resident)


@scenario("EX03", clauses="seed.W25", needs="avx512", quick=5, normal=50, soak=2000)
@pytest.mark.parametrize("resident", [False, True], ids=["default", "resident"])
def contexts_on_one_thread_keep_their_zmm_registers(stage: Stage, resident: bool) -> None:
    """Two contexts on one stub thread keep all 32 of their AVX-512 registers."""
    _share_a_thread(stage, guests.zmm_fill, guests.zmm_store, 32 * 64, resident)


@scenario("EX03", clauses="seed.W25")
def contexts_on_one_thread_keep_their_control_words(stage: Stage) -> None:
    """Two contexts on one stub thread keep their own SSE control words."""
    words = {0: 0x3F80, 1: 0x5F80, 2: 0x7F80}
    one = stage.guest(guests.mxcsr_fill)
    batch = [one, *(stage.guest(guests.mxcsr_fill, space=one.space) for _ in range(2))]
    for index, guest in enumerate(batch):
        guest.data.set_word(0, words[index])
        guest.run_to(Syscall)
    for index, guest in enumerate(batch):
        guest.enter(guests.mxcsr_store)
        guest.data.set_word(0, 0)
        guest.run_to(Syscall)
        assert guest.data.word() == words[index]


@scenario("EX03", clauses="seed.switchToApp")
def a_fresh_context_has_fresh_vectors(stage: Stage) -> None:
    """A new context on a used stub thread starts with all vector registers zero."""
    used = stage.guest(guests.xmm_fill)
    used.data[0:256] = b"\xa5" * 256
    used.run_to(Syscall)
    fresh = stage.guest(guests.xmm_store, space=used.space)
    fresh.data[0:256] = b"\x5a" * 256
    fresh.run_to(Syscall)
    assert fresh.data[0:256] == bytes(256)


@scenario("EX23", clauses=("seed.switchToApp", "seed.W25", "seed.I14"))
@pytest.mark.parametrize("fresh_resident", [False, True], ids=["to_default", "to_resident"])
@pytest.mark.parametrize("resident", [False, True], ids=["from_default", "from_resident"])
def a_fresh_context_beside_another_has_fresh_vectors(stage: Stage, resident: bool, fresh_resident: bool) -> None:
    """A new context has zero vector registers though another's are in the thread, and that one keeps its own."""
    used = stage.guest(guests.xmm_fill, resident=resident)
    used.data[0:256] = contents = Random(4).randbytes(256)
    used.run_to(Syscall)
    for _ in range(2):
        fresh = stage.guest(guests.xmm_store, space=used.space, resident=fresh_resident)
        fresh.data[0:256] = b"\x5a" * 256
        fresh.run_to(Syscall)
        assert fresh.data[0:256] == bytes(256)
    used.enter(guests.xmm_store)
    used.data[0:256] = bytes(256)
    used.run_to(Syscall)
    assert used.data[0:256] == contents


@scenario("EX23", clauses=("seed.switchToApp", "seed.W25", "seed.I14"))
@pytest.mark.parametrize("resident", [False, True], ids=["default", "resident"])
def a_new_state_has_its_own_vectors(stage: Stage, resident: bool) -> None:
    """A context that is switched with a new state has that state's vector registers, and the old one keeps its."""
    guest = stage.guest(guests.xmm_fill, resident=resident)
    guest.data[0:256] = contents = Random(5).randbytes(256)
    guest.run_to(Syscall)
    storing = stage.load(guests.xmm_store, guest.space)
    old, new = guest.state, stage.platform.new_state()
    for state, expected in ((new, bytes(256)), (old, contents), (new, bytes(256)), (old, contents)):
        guest.data[0:256] = b"\x5a" * 256
        state.pc, state["rbx"] = storing, guest.data_address
        assert guest.context.switch(guest.space, state) == Syscall(Number.GETPID)
        assert guest.data[0:256] == expected


@scenario("EX25", clauses=("seed.switchToApp", "seed.W25"))
def a_resident_context_that_gave_way_keeps_its_vectors_when_its_thread_ends(stage: Stage) -> None:
    """A resident context keeps its vector registers when its stub thread ends, though another one used that last."""
    one = stage.guest(guests.xmm_fill, resident=True)
    other = stage.guest(guests.xmm_fill, space=one.space)
    one.data[0:256], other.data[0:256] = contents = [Random(seed).randbytes(256) for seed in (6, 7)]
    stage.bounded(lambda: [guest.run_to(Syscall) for guest in (one, other)])
    for guest, expected in zip((one, other), contents, strict=True):
        guest.enter(guests.xmm_store)
        guest.data[0:256] = bytes(256)
        guest.run_to(Syscall)
        assert guest.data[0:256] == expected


@scenario("EX25", clauses=("seed.switchToApp", "seed.W25"))
def a_resident_context_that_moved_keeps_its_vectors_when_its_old_thread_is_used(stage: Stage) -> None:
    """A resident context that left a stub thread loses nothing when another context uses that thread."""
    left = stage.guest(guests.xmm_fill, resident=True)
    left.run_to(Syscall)
    left.context.pull()
    moved = stage.guest(guests.xmm_fill, context=left.context)
    moved.data[0:256] = contents = Random(8).randbytes(256)
    moved.run_to(Syscall)
    stage.guest(guests.xmm_store, space=left.space).run_to(Syscall)
    moved.enter(guests.xmm_store)
    moved.data[0:256] = bytes(256)
    moved.run_to(Syscall)
    assert moved.data[0:256] == contents


@scenario("EX03", clauses="seed.switchToApp")
@pytest.mark.parametrize("resident", [False, True], ids=["default", "resident"])
def extended_state_moves_between_contexts_by_its_image(stage: Stage, resident: bool) -> None:
    """A context's image, written to another context's state, is loaded into that one's registers."""
    contents = Random(3).randbytes(256)
    source = stage.guest(guests.xmm_fill, resident=resident)
    source.data[0:256] = contents
    source.run_to(Syscall)
    source.context.pull()
    target = stage.guest(guests.xmm_store, space=source.space, resident=resident)
    target.state.write_xstate(source.state.xstate)
    target.run_to(Syscall)
    assert target.data[0:256] == contents


@scenario("EX03", clauses="seed.switchToApp", quick=20, normal=200, soak=5000)
@pytest.mark.parametrize("resident", [False, True], ids=["default", "resident"])
def an_interrupted_guest_keeps_its_vectors(stage: Stage, resident: bool) -> None:
    """A guest that counts in a vector register and a general one keeps both counts equal through interrupts."""
    guest = stage.guest(guests.vector_spin, resident=resident)
    for _ in range(stage.trial.repeat):
        stopping = stage.thread(_stop, stage, guest, guest.data.word())
        assert guest.switch() == Interrupted()
        stopping.result()
        assert guest.data.word() - guest.data.word(16) in (0, 1)


def _stop(stage: Stage, guest: Guest, begin: int) -> None:
    """Interrupt the guest once its count exceeds `begin`."""
    stage.wait_until(lambda: guest.data.word() > begin, claim="the guest computes")
    guest.context.interrupt()


def _share_a_thread(stage: Stage, fill: Program, store: Program, size: int, resident: bool) -> None:
    """Two contexts on one thread alternately fill their registers differently and store them again."""
    space = stage.space()
    contexts = [stage.platform.new_context(resident=resident) for _ in range(2)]
    batch = [stage.guest(fill, space=space, context=context) for context in contexts]
    storing = stage.load(store, space)
    for round_ in range(stage.trial.repeat):
        contents = [Random(2 * round_ + index).randbytes(size) for index in range(2)]
        for index, guest in enumerate(batch):
            guest.state.pc = guest.code
            guest.data[0:size] = contents[index]
            guest.run_to(Syscall)
        for index, guest in enumerate(batch):
            guest.data[0:size] = bytes(size)
            guest.state.pc = storing
            guest.run_to(Syscall)
            assert guest.data[0:size] == contents[index], f"context {index} lost its {fill.name} of round {round_}"
