"""How a system call is set up in x86-64's registers and undone, and what a dump of them looks like.

Another architecture answers the same questions in a file of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from worldswitch.harness.arch import registers as names
from worldswitch.harness.contract import Abi
from worldswitch.reference._core import ffi, lib

if TYPE_CHECKING:
    from worldswitch.reference.stub_page import StubPage

ARGUMENTS = ("rdi", "rsi", "rdx", "r10", "r8", "r9")
NO_CALL = 0xFFFF_FFFF_FFFF_FFFF
USER_FLAGS = 0x202
TRAP_FLAG = 0x100
VSYSCALL_PAGE = range(0xFFFF_FFFF_FF60_0000, 0xFFFF_FFFF_FF60_1000)

#: The XSAVE image (Intel SDM volume 1, 13.4): where its first fields lie; the header's list of components is the last.
FCW, MXCSR, XMM, XMM_END, SOFTWARE, LEGACY_END, XSTATE_BV = 0, 24, 160, 416, 464, 512, 512
FCW_INITIAL, MXCSR_INITIAL = 0x37F, 0x1F80
SSE = 2  # its bit in that list

#: Segment selectors, which guests do not own: a guest that changed them would leave the stub in 32-bit mode.
SEGMENTS = ("cs", "ss", "ds", "es", "fs", "gs")


def signed(word: int) -> int:
    """A register's value as a signed integer."""
    return word - (1 << 64) if word >> 63 else word


def keep_segments(registers: Any) -> None:
    """Zero all but the segment selectors, and say that the thread is in no system call.

    A thread that is in one, as the kernel sees it, makes it again when a signal meets a guest's value between -516 and
    -512 in rax.
    """
    values = [getattr(registers, name) for name in SEGMENTS]
    ffi.memmove(registers, b"\0" * ffi.sizeof("struct registers"), ffi.sizeof("struct registers"))
    for name, value in zip(SEGMENTS, values, strict=True):
        setattr(registers, name, value)
    registers.orig_rax = NO_CALL


def set_call(target: Any, segments: Any, pc: int, number: int, arguments: tuple[int, ...]) -> None:
    """Registers that make a system call at `pc`: all six arguments given or zero, nothing left over from before."""
    ffi.memmove(target, ffi.addressof(segments), ffi.sizeof("struct registers"))
    target.rip = pc
    target.rax = number & 0xFFFF_FFFF_FFFF_FFFF
    target.eflags = USER_FLAGS
    for name, value in zip(ARGUMENTS, arguments, strict=False):
        setattr(target, name, value & 0xFFFF_FFFF_FFFF_FFFF)


def abi_of(info: tuple[int, int] | None, code_segment: int, native_segment: int) -> Abi:
    """By which door a system call came, from PTRACE_GET_SYSCALL_INFO where there is one.

    Without it (before Linux 5.3) ``int $0x80`` is taken for what it most likely is when the native instruction's traces
    in rcx and r11 are missing.
    """
    if code_segment != native_segment:
        return Abi.COMPAT
    if info is None or info[1] == lib.AUDIT_ARCH_I386:
        return Abi.INT80
    return Abi.NATIVE


def dump(raw: bytes, page: StubPage) -> str:
    """Registers as a text, with where the stub lies: the first question is whose code it was."""
    words = memoryview(raw).cast("Q")
    cells = [f"{name:>8} {words[i]:016x}" for i, name in enumerate(names.NAMES)]
    rows = ["  ".join(cells[i : i + 3]) for i in range(0, len(cells), 3)]
    return "\n".join([*rows, f"    stub {page.begin:016x}-{page.end:016x}"])
