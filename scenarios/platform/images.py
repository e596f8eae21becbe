"""Extended-state images from the caller: of the kernel's size, read as XSAVE defines them, or refused.

Seed: subprocess.switchToApp's floating point state.
"""

from __future__ import annotations

import ctypes
import errno
import itertools
import os
import signal
import struct
from collections.abc import Callable

import pytest

from worldswitch.harness.contract import HostError, Syscall
from worldswitch.scenarios import guests
from worldswitch.scenarios.declare import scenario
from worldswitch.scenarios.guests import Number
from worldswitch.scenarios.stage.stage import Guest, Stage
from worldswitch.scenarios.stage.steady_guests import outcome_of

# Offsets in the legacy region and header of an XSAVE image (Intel SDM volume 1, 13.4).
MXCSR, XMM, XMM_END, SOFTWARE = 24, 160, 416, 464
XSTATE_BV, XCOMP_BV, RESERVED = 512, 520, 568
X87, SSE, NOBODYS = 1 << 0, 1 << 1, 1 << 62  # components; the last one is undefined
COMPACTED = 1 << 63

#: AMD's mask has bit 17 too.
EVERY_CONTROL_BIT = 0x2_FFFF
CONTROL_WORDS = (0, 0x1F80, 0x3F80, 0x7F80, 0x1FBF)

GETPID = Syscall(Number.GETPID)

# -------------------------------------------------------------------------------------------------------- what is taken


@scenario("EX04", clauses=("gvisor aadfe7f23", "linux 43be46e89698"), needs="xsave")
def the_control_word_counts_whatever_the_header_lists(stage: Stage) -> None:
    """MXCSR is loaded from an image even if its header does not list SSE."""
    guest = stage.guest(guests.mxcsr_store)
    for word, components in itertools.product(CONTROL_WORDS, (0, X87, SSE, X87 | SSE)):
        image = _initial(stage, components)
        struct.pack_into("=I", image, MXCSR, word)
        assert _stored_control_word(guest, image) == word


@scenario("EX04", clauses=("gvisor aadfe7f23", "Intel SDM 1, 13.8.1"), needs="xsave")
def registers_that_the_header_does_not_list_are_zero(stage: Stage) -> None:
    """An image whose header does not list SSE loads no XMM register, with or without a control word of its own."""
    guest = stage.guest(guests.xmm_store)
    for word in CONTROL_WORDS:
        image = _initial(stage, 0)
        struct.pack_into("=I", image, MXCSR, word)
        image[XMM:XMM_END] = b"\xa5" * (XMM_END - XMM)
        guest.data[0:256] = b"\x5a" * 256
        guest.state.write_xstate(bytes(image))
        guest.state.pc = guest.code
        assert guest.switch() == GETPID
        assert guest.data[0:256] == bytes(256)


@scenario("EX05", "K63", clauses=("gvisor bb8400681", "kernel.M8"), needs="xsave")
def an_image_is_as_large_as_the_kernels(stage: Stage) -> None:
    """A state's image has the size and the components of the kernel's, though the processor may support more."""
    kernels = _image_of_a_child()
    guest = stage.guest(guests.getpid_loop)
    assert len(guest.state.xstate) == len(kernels)
    assert guest.state.xstate[SOFTWARE : SOFTWARE + 8] == kernels[SOFTWARE : SOFTWARE + 8]
    guest.state.write_xstate(kernels)
    assert [guest.switch() for _ in range(3)] == [GETPID] * 3
    assert len(guest.state.xstate) == len(kernels)


# ------------------------------------------------------------------------------------------------------ what is refused


def _unknown_component(image: bytearray) -> None:
    struct.pack_into("=Q", image, XSTATE_BV, SSE | NOBODYS)


def _compacted(image: bytearray) -> None:
    struct.pack_into("=Q", image, XCOMP_BV, COMPACTED)


def _reserved_field(image: bytearray) -> None:
    struct.pack_into("=Q", image, RESERVED, 1)


Spoil = Callable[[bytearray], None]
SPOILERS: tuple[Spoil, ...] = (_unknown_component, _compacted, _reserved_field)


@scenario("EX06", "K63", clauses=("seed.W20", "kernel.M8", "fact.E12"), needs="xsave")
@pytest.mark.parametrize("spoil", SPOILERS, ids=lambda spoil: spoil.__name__.strip("_"))
def an_image_the_kernel_refuses_is_an_error_until_it_is_mended(stage: Stage, spoil: Spoil) -> None:
    """An image the kernel refuses raises EINVAL at each attempt, and a valid image then works in the same stub."""
    guest = stage.guest(guests.mxcsr_store)
    stub = stage.inspect(guest.space).stub
    image = _initial(stage, SSE)
    spoil(image)
    guest.state.write_xstate(bytes(image))
    for _ in range(2):
        with pytest.raises(HostError) as refusal:
            guest.switch()
        assert refusal.value.errno == errno.EINVAL
        assert guest.state.pc == guest.code
    struct.pack_into("=I", good := _initial(stage, SSE), MXCSR, 0x3F80)
    assert _stored_control_word(guest, good) == 0x3F80
    assert stage.inspect(guest.space).stub.pid == stub.pid


@scenario("EX06", clauses=("seed.W20", "kernel.M8", "fact.E12"), needs="xsave")
@pytest.mark.parametrize("resident", [False, True], ids=["default", "resident"])
def a_refused_image_is_nobody_elses(stage: Stage, resident: bool) -> None:
    """A refused image changes no register of another context on its stub thread, old or new."""
    owner = stage.guest(guests.xmm_fill, resident=resident)
    owner.data[0:256] = contents = bytes(range(256))
    owner.run_to(Syscall)
    storing = stage.load(guests.xmm_store, owner.space)
    for spoil in SPOILERS:
        _be_refused(stage, owner, spoil, resident)
        owner.state.pc = storing
        owner.data[0:256] = bytes(256)
        assert owner.switch() == GETPID
        assert owner.data[0:256] == contents
        _be_refused(stage, owner, spoil, resident)
        fresh = stage.guest(guests.xmm_store, space=owner.space, resident=resident)
        fresh.data[0:256] = b"\x5a" * 256
        assert fresh.switch() == GETPID
        assert fresh.data[0:256] == bytes(256)


@scenario("EX06", clauses=("kernel.M8", "Intel SDM 1, 10.2.3"), needs="xsave")
def reserved_control_bits_never_reach_a_guest(stage: Stage) -> None:
    """An image with reserved MXCSR bits is refused or, by kernels before 5.14, loaded without them."""
    guest = stage.guest(guests.mxcsr_store)
    other = stage.guest(guests.mxcsr_store, space=guest.space)
    for components in (0, SSE):
        image = _initial(stage, components)
        struct.pack_into("=I", image, MXCSR, 0xFFFF_FFFF)
        guest.state.write_xstate(bytes(image))
        guest.state.pc = guest.code
        outcome = outcome_of(guest.switch)
        if outcome == GETPID:
            assert guest.data.word() & ~EVERY_CONTROL_BIT == 0
        else:
            assert isinstance(outcome, HostError), f"a bad control word gave {outcome!r}"
            assert outcome.errno == errno.EINVAL
        assert _stored_control_word(other, _initial(stage, components)) == 0x1F80


# -------------------------------------------------------------------------------------------------------------- helpers


def _initial(stage: Stage, components: int) -> bytearray:
    """An image that lists these components, all in their initial state."""
    image = bytearray(stage.platform.new_state().xstate)
    struct.pack_into("=Q", image, XSTATE_BV, components)
    return image


def _stored_control_word(guest: Guest, image: bytearray) -> int:
    guest.state.write_xstate(bytes(image))
    guest.state.pc = guest.code
    guest.data.set_word(0, 0x5A5A_5A5A)
    assert guest.switch() == GETPID
    return guest.data.word()


def _be_refused(stage: Stage, owner: Guest, spoil: Spoil, resident: bool) -> None:
    """Try to load a spoiled image with full XMM registers in another context on the owner's thread."""
    intruder = stage.guest(guests.getpid_loop, space=owner.space, resident=resident)
    image = _initial(stage, SSE)
    image[XMM:XMM_END] = b"\xa5" * (XMM_END - XMM)
    spoil(image)
    intruder.state.write_xstate(bytes(image))
    with pytest.raises(HostError):
        intruder.switch()


PTRACE_SEIZE, PTRACE_INTERRUPT, PTRACE_GETREGSET = 0x4206, 0x4207, 0x4204  # <linux/ptrace.h>
NT_X86_XSTATE = 0x202  # <linux/elf.h>

_libc = ctypes.CDLL(None, use_errno=True)


class _Iovec(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


def _image_of_a_child() -> bytes:
    """The image that PTRACE_GETREGSET returns into a larger buffer."""
    pid = os.fork()
    if pid == 0:
        signal.pause()
        os._exit(0)
    try:
        _ptrace(PTRACE_SEIZE, pid, 0, None)
        _ptrace(PTRACE_INTERRUPT, pid, 0, None)
        os.waitpid(pid, 0)
        buffer = ctypes.create_string_buffer(1 << 16)
        vector = _Iovec(ctypes.addressof(buffer), len(buffer))
        _ptrace(PTRACE_GETREGSET, pid, NT_X86_XSTATE, ctypes.byref(vector))
        return buffer.raw[: vector.length]
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def _ptrace(request: int, pid: int, address: int, data: object) -> None:
    if _libc.ptrace(ctypes.c_long(request), pid, ctypes.c_void_p(address), data) < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"ptrace request {request:#x}: {os.strerror(number)}")
