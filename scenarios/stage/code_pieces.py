"""Random pieces of x86-64 code: each sets a part of a thread's state as a guest may, or ends in an event.

A piece uses the registers as it finds them where it may fault, and runs on into whatever follows it.  The encodings are
of the Intel SDM, volume 2.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from worldswitch.scenarios.stage.stage import PAGE

RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI = range(8)

#: asm/segment.h: __USER32_CS, __USER_DS, __USER_CS; nulls, privileged and absent ones.
SELECTORS = (0x23, 0x2B, 0x33, 0, 1, 3, 0x10, 0x18, 0x28, 0x30, 0x07, 0x3B, 0x43, 0x53, 0x7B, 0xFFFF)


@dataclass(frozen=True, slots=True)
class Layout:
    """Where a guest's memory lies, and addresses at the edges of what it may touch."""

    landing: int  #: a page of invalid instructions, where jumps may lead; one into a piece could run on for ever
    data: int  #: four pages; the last three are for an XSAVE image
    stack_end: int
    edges: tuple[int, ...]

    def address(self, random: Random) -> int:
        """An address in the first page of data, or near an edge."""
        if random.random() < 0.4:
            return self.data + random.randrange(PAGE)
        return (random.choice(self.edges) + random.choice((-16, -8, -7, -4, -1, 0, 1, 8))) % (1 << 64)


Piece = Callable[[Random, Layout], bytes]


def mov(register: int, value: int) -> bytes:
    """Load a register with a value of 64 bits."""
    return bytes((0x48 | register >> 3, 0xB8 | register & 7)) + struct.pack("<Q", value % (1 << 64))


def number(random: Random, layout: Layout) -> int:
    """A number of 64 bits: any, a small one, one bit, or an address."""
    return random.choice(
        (
            lambda: random.getrandbits(64),
            lambda: random.randrange(-600, 600) % (1 << 64),
            lambda: 1 << random.randrange(64),
            lambda: layout.address(random),
        )
    )()


def _some(*codes: str) -> Piece:
    """One of these instructions, written in hexadecimal digits."""
    choices = [bytes.fromhex(code) for code in codes]
    return lambda random, layout: random.choice(choices)


# ------------------------------------------------------------------------------------------------ registers, segments


def _general(random: Random, layout: Layout) -> bytes:
    return b"".join(mov(random.randrange(16), number(random, layout)) for _ in range(random.randrange(1, 4)))


def _base(random: Random, layout: Layout) -> bytes:
    """Write the fs or gs base, of a canonical address mostly."""
    value = number(random, layout)
    if random.random() < 0.8:
        value = value & (1 << 47) - 1 | random.choice((0, 0xFFFF_8000_0000_0000))
    return mov(RDI, value) + bytes((0xF3, 0x48, 0x0F, 0xAE, random.choice((0xD7, 0xDF))))


def _segment(random: Random, layout: Layout) -> bytes:
    """Mov to es, ss, ds, fs or gs."""
    register = random.choice((0, 2, 3, 4, 5))
    return b"\xb8" + struct.pack("<I", random.choice(SELECTORS)) + bytes((0x8E, 0xC0 | register << 3))


def _far_return(random: Random, layout: Layout) -> bytes:
    """Return to another segment, behind this piece or anywhere."""
    code = mov(RSP, layout.stack_end) + b"\x68" + struct.pack("<I", random.choice(SELECTORS))
    code += mov(RAX, random.choice((layout.landing, layout.landing + random.randrange(PAGE), number(random, layout))))
    return code + b"\x50\x48\xcb"


def _interrupt_return(random: Random, layout: Layout) -> bytes:
    """Iret with any flags."""
    code = mov(RSP, layout.stack_end)
    selectors = random.choice(((0x2B, 0x33), (0x2B, 0x23), (random.choice(SELECTORS), random.choice(SELECTORS))))
    target = random.choice((layout.landing, number(random, layout)))
    for value in (selectors[0], layout.stack_end, random.getrandbits(22) | 0x202, selectors[1], target):
        code += mov(RAX, value) + b"\x50"
    return code + b"\x48\xcf"


def _flags(random: Random, layout: Layout) -> bytes:
    """Popf of any flags, but the trap flag seldom."""
    value = random.getrandbits(32) & ~(0 if random.random() < 0.1 else 0x100)
    return mov(RSP, layout.stack_end) + mov(RAX, value) + b"\x50\x9d"


# --------------------------------------------------------------------------------------------------- extended state


def _sse_control(random: Random, layout: Layout) -> bytes:
    """Ldmxcsr, of reserved bits seldom."""
    value = random.getrandbits(32) & (0xFFFF if random.random() < 0.9 else 0xFFFF_FFFF)
    code = mov(RBX, layout.data + PAGE - 64)
    return code + b"\xc7\x03" + struct.pack("<I", value) + b"\x0f\xae\x13"


def _x87_environment(random: Random, layout: Layout) -> bytes:
    """Fldcw or fldenv of anything."""
    code = mov(RBX, layout.data + PAGE - 64)
    for offset in range(0, 28, 4):
        code += b"\xc7\x43" + bytes((offset,)) + struct.pack("<I", random.getrandbits(32))
    return code + random.choice((b"\xd9\x2b", b"\xd9\x23"))


def _xsave_and_restore(random: Random, layout: Layout) -> bytes:
    """Save some components and restore some: those that were not saved become initial."""
    code = mov(RBX, layout.data + PAGE) + b"\x31\xd2"
    code += mov(RAX, random.choice((0xFF, random.getrandbits(8)))) + b"\x48\x0f\xae\x23"
    return code + mov(RAX, random.choice((0xFF, random.getrandbits(8)))) + b"\x48\x0f\xae\x2b"


def _protection_keys(random: Random, layout: Layout) -> bytes:
    """Wrpkru, of no rights to key 0 seldom."""
    value = random.choice((0, random.getrandbits(32) & ~(3 if random.random() < 0.8 else 0)))
    return b"\x31\xc9\x31\xd2\xb8" + struct.pack("<I", value) + b"\x0f\x01\xef"


# ----------------------------------------------------------------------------------------------- memory, jumps, calls


def _touch(random: Random, layout: Layout) -> bytes:
    """A load, store, locked or wide access near an edge."""
    codes = ("488b03", "488903", "48ff03", "f0480fb10b", "0f1003", "0f2803", "480fc70b", "668b03", "8a03", "c5fc1003")
    return mov(RBX, layout.address(random)) + bytes.fromhex(random.choice(codes))


def _touch_by_segment(random: Random, layout: Layout) -> bytes:
    """A load through fs or gs."""
    return mov(RBX, number(random, layout)) + random.choice((b"\x64", b"\x65")) + b"\x48\x8b\x03"


def _jump(random: Random, layout: Layout) -> bytes:
    """A jump or call to an edge."""
    return mov(RAX, layout.address(random)) + random.choice((b"\xff\xe0", b"\xff\xd0"))


def _return(random: Random, layout: Layout) -> bytes:
    """A return with the stack at an edge, or to one."""
    if random.random() < 0.5:
        return mov(RSP, layout.address(random)) + b"\xc3"
    return mov(RSP, layout.stack_end) + mov(RAX, layout.address(random)) + b"\x50\xc3"


def _call(random: Random, layout: Layout) -> bytes:
    """A system call of any number, by any door."""
    return mov(RAX, number(random, layout)) + random.choice((b"\x0f\x05", b"\x0f\x05", b"\xcd\x80", b"\x0f\x34"))


#: Flag instructions; x87, MMX, SSE, AVX and AVX-512 instructions; reads of bases and flags; traps.
PIECES: tuple[Piece, ...] = (
    *(_general, _base, _base, _segment, _far_return, _interrupt_return, _flags, _flags),
    *(_sse_control, _x87_environment, _xsave_and_restore, _protection_keys),
    *(_touch, _touch, _touch_by_segment, _jump, _return, _call),
    _some("f8", "f9", "f5", "fc", "fd", "9e", "9f", "48f7d8", "48d1d0"),
    _some("dbe3", "d9e8", "d9eb", "d9ee", "d9fa", "dec9", "def9", "d9f7", "9b", "0f77", "480f6ec0", "d9c9", "dfe0"),
    _some("660f76c0", "0f58c1", "0f5ec1", "0f57c0", "66480f6ec0", "66480f7ec0", "0f51c0", "f20f5ec1"),
    _some("c5f877", "c5fc77", "c5fd76c0", "c5fc58c1", "c5f446c9", "62f37d4825c0ff", "62f1fd486fc8"),
    _some("f3480faec0", "f3480faec8", "9c58", "660f1f4000", "8cd8", "8ce0", "8ce8", "8cd0"),
    _some("cc", "f1", "0f0b", "cd03", "cd04", "cd0d", "f4", "fa", "48f7f1", "ec", "0f30", "0f01d0", "0f00d8"),
)


def drawn(random: Random, layout: Layout) -> bytes:
    """A piece, or two in a row."""
    return b"".join(random.choice(PIECES)(random, layout) for _ in range(random.choice((1, 1, 2))))
