"""The x86-64 registers: how a system call is set up in them, and what a dump of them looks like.

Another architecture has a file of its own for the same questions.
"""

from __future__ import annotations

from typing import Any

from worldswitch.harness.arch import registers as names
from worldswitch.harness.contract import Abi
from worldswitch.reference._core import ffi, lib
from worldswitch.reference.stub_page import StubPage

ARGUMENTS = ("rdi", "rsi", "rdx", "r10", "r8", "r9")
WORD_SIZE, WORD_MASK = 8, 0xFFFF_FFFF_FFFF_FFFF
NO_CALL = WORD_MASK  # orig_rax is -1

# arch/x86/include/uapi/asm/processor-flags.h
INTERRUPT_FLAG, ALWAYS_ONE, TRAP_FLAG = 0x200, 0x2, 0x100
#: The flags that a process begins with.
USER_FLAGS = INTERRUPT_FLAG | ALWAYS_ONE

VSYSCALL_PAGE = range(0xFFFF_FFFF_FF60_0000, 0xFFFF_FFFF_FF60_1000)

#: Offsets in the XSAVE image (Intel SDM volume 1, 13.4); XSTATE_BV is the header's list of components.
FCW, MXCSR, XMM, XMM_END, SOFTWARE, LEGACY_END, XSTATE_BV = 0, 24, 160, 416, 464, 512, 512
FCW_INITIAL, MXCSR_INITIAL = 0x37F, 0x1F80
SSE = 2  # its bit in that list

#: Segment selectors, which are the platform's: a guest that changed them would leave the stub in 32-bit mode.
SEGMENTS = ("cs", "ss", "ds", "es", "fs", "gs")


def signed(word: int) -> int:
    """A register's value as a signed integer."""
    return word - (1 << 64) if word >> 63 else word


def keep_segments(registers: Any) -> None:
    """Zero all but the segment selectors, and set orig_rax to "not in a system call".

    Otherwise the kernel would restart a system call when a signal arrives and the guest has a value between -516 and
    -512 in rax.
    """
    values = [getattr(registers, name) for name in SEGMENTS]
    ffi.memmove(registers, b"\0" * ffi.sizeof("struct registers"), ffi.sizeof("struct registers"))
    for name, value in zip(SEGMENTS, values, strict=True):
        setattr(registers, name, value)
    registers.orig_rax = NO_CALL


def set_call(target: Any, segments: Any, pc: int, number: int, arguments: tuple[int, ...], key: int = 0) -> None:
    """Set up a system call at `pc`; arguments that are not given are zero, and nothing is left over from before.

    A `key` goes into the upper half of the fifth argument (`filter`).
    """
    ffi.memmove(target, ffi.addressof(segments), ffi.sizeof("struct registers"))
    target.rip = pc
    target.rax = number & WORD_MASK
    target.eflags = USER_FLAGS
    for name, value in zip(ARGUMENTS, arguments, strict=False):
        setattr(target, name, value & WORD_MASK)
    if key:
        target.r8 = target.r8 & 0xFFFF_FFFF | key << 32


def abi_of(info: tuple[int, int] | None, code_segment: int, native_segment: int) -> Abi:
    """The entry point of a system call that left no traces of the native instruction in rcx and r11.

    `info` is from PTRACE_GET_SYSCALL_INFO.  Without it (before Linux 5.3) such a call is taken for ``int $0x80``, which
    it most likely is.
    """
    if code_segment != native_segment:
        return Abi.COMPAT
    if info is None or info[1] == lib.AUDIT_ARCH_I386:
        return Abi.INT80
    return Abi.NATIVE


def dump(raw: bytes, page: StubPage) -> str:
    """Registers as a text, with the stub's addresses, to see whether the stub's code or the guest's ran."""
    words = memoryview(raw).cast("Q")
    cells = [f"{name:>8} {words[i]:016x}" for i, name in enumerate(names.NAMES)]
    rows = ["  ".join(cells[i : i + 3]) for i in range(0, len(cells), 3)]
    return "\n".join([*rows, f"    stub {page.begin:016x}-{page.end:016x}"])
