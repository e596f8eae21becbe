"""Which registers the kernel lets a tracer write, and what it makes of the values."""

from __future__ import annotations

import struct
from collections.abc import Callable

from worldswitch.scenarios import guests, raw_ptrace
from worldswitch.scenarios.declare_fact import fact
from worldswitch.scenarios.raw_ptrace import lib

BEYOND = 1 << 63  #: no address in any paging mode
TRAP_FLAG, ALIGNMENT, IO_PRIVILEGE = 0x100, 0x40000, 0x3000  #: asm/processor-flags.h: TF, AC, IOPL


def _set(**values: int) -> str:
    with raw_ptrace.tracee() as tracee:
        return tracee.set_registers(**values)


@fact("KM7", clauses=("kernel.M7", "fact.E11"), known={"fs_base EIO, gs_base EIO": "5.10 to 7.3"})
def bases_beyond_user_addresses_are_refused() -> str:
    """PTRACE_SETREGS refuses a segment base beyond user addresses."""
    return f"fs_base {_set(fs_base=BEYOND)}, gs_base {_set(gs_base=BEYOND)}"


@fact("KM7", clauses=("kernel.M7", "fact.E11"), known={"cs 0 EIO, ss 0 EIO, ss of the kernel EIO": "5.10 to 7.3"})
def privileged_selectors_are_refused() -> str:
    """PTRACE_SETREGS refuses a code or stack segment that is not a user's."""
    return f"cs 0 {_set(cs=0)}, ss 0 {_set(ss=0)}, ss of the kernel {_set(ss=0x18)}"


@fact(
    "KM7",
    clauses=("kernel.M7", "fact.E11"),
    known={"EIO, and rbx is written": "5.10 to 7.3", "EIO, and rbx is not": "not seen"},
)
def a_refusal_comes_after_other_registers_were_written() -> str:
    """A refused PTRACE_SETREGS has written the registers before the refused one."""
    with raw_ptrace.tracee() as tracee:
        said = tracee.set_registers(rbx=4711, fs_base=BEYOND)
        return f"{said}, and rbx is {'written' if tracee.registers()['rbx'] == 4711 else 'not'}"


@fact("KM7", clauses=("kernel.M7", "fact.E11"), known={"0, SIGSEGV SI_KERNEL": "5.10 to 7.3"})
def an_impossible_rip_is_accepted() -> str:
    """PTRACE_SETREGS accepts a rip that is no address, which faults when the tracee is resumed."""
    with raw_ptrace.tracee() as tracee:
        said = tracee.set_registers(rip=BEYOND)
        tracee.go("CONT")
        return f"{said}, {tracee.siginfo()}"


@fact("KM7", clauses="kernel.M7", known={"TF kept, AC kept, IOPL dropped": "5.10 to 7.3"})
def some_flags_are_not_written() -> str:
    """PTRACE_SETREGS writes only those flags that a program may write itself."""
    with raw_ptrace.tracee() as tracee:
        tracee.set_registers(eflags=0x202 | TRAP_FLAG | ALIGNMENT | IO_PRIVILEGE)
        flags = tracee.registers()["eflags"]
        names = {"TF": TRAP_FLAG, "AC": ALIGNMENT, "IOPL": IO_PRIVILEGE}
        return ", ".join(f"{name} {'kept' if flags & bit else 'dropped'}" for name, bit in names.items())


@fact(
    "KM7",
    clauses="kernel.M7",
    known={
        "gs 0x2b, the base kept": "since 5.9, with FSGSBASE",
        "gs 0x2b, the base lost": "before, or without FSGSBASE",
    },
)
def a_selector_leaves_the_base_alone() -> str:
    """PTRACE_SETREGS with another gs selector and a base sets both."""
    with raw_ptrace.tracee() as tracee:
        tracee.set_registers(gs=0x2B, gs_base=0x1000)
        seen = tracee.registers()
        return f"gs {seen['gs']:#x}, the base {'kept' if seen['gs_base'] == 0x1000 else 'lost'}"


@fact(
    "KM7",
    clauses=("fact.C2", "ptrace(2) PTRACE_SETREGSET"),
    known={"68 bytes, set EIO; PTRACE_SETREGS 0": "5.10 to 7.3", "216 bytes, set 0; PTRACE_SETREGS 0": "not seen"},
)
def a_32_bit_segment_changes_the_regset() -> str:
    """In a 32-bit code segment PTRACE_GETREGSET returns a layout that cannot be written back as the full one."""
    with raw_ptrace.tracee() as tracee:
        full = tracee.regset(lib.NT_PRSTATUS)[1]
        tracee.set_registers(cs=0x23)
        _, seen = tracee.regset(lib.NT_PRSTATUS)
        said = tracee.set_regset(lib.NT_PRSTATUS, full)
        return f"{len(seen)} bytes, set {said}; PTRACE_SETREGS {tracee.set_registers(cs=0x33)}"


# ------------------------------------------------------------------------------------------------------- extended state


def _set_extended(change: Callable[[bytearray], object]) -> str:
    """The answer to writing the extended state, after `change` to what was read."""
    with raw_ptrace.tracee() as tracee:
        contents = bytearray(tracee.regset(lib.NT_X86_XSTATE)[1])
        change(contents)
        return tracee.set_regset(lib.NT_X86_XSTATE, bytes(contents))


#: Offsets of MXCSR and of the header's fields xstate_bv and xcomp_bv (asm/fpu/types.h).
MXCSR, XSTATE_BV, XCOMP_BV = 24, 512, 520
SSE = 2  #: a component's bit
NOTED = 0x3F  #: in MXCSR: the exceptions that occurred


@fact("KM8", clauses="kernel.M8", needs="xsave", known={"as read 0, longer 0, shorter EFAULT": "5.10 to 7.3"})
def the_extended_state_is_written_whole() -> str:
    """Writing NT_X86_XSTATE needs at least its whole size, and ignores what exceeds it."""
    whole = _set_extended(lambda contents: None)
    longer = _set_extended(lambda contents: contents.extend(bytes(64)))
    shorter = _set_extended(lambda contents: contents.__delitem__(slice(-64, None)))
    return f"as read {whole}, longer {longer}, shorter {shorter}"


@fact(
    "KM8",
    clauses=("kernel.M8", "fact.E12"),
    needs="xsave",
    known={
        "MXCSR EINVAL, xcomp_bv EINVAL, xstate_bv EINVAL": "6.1 to 7.3",
        "MXCSR 0, xcomp_bv EINVAL, xstate_bv EINVAL": "5.10, which drops the bits of MXCSR and says nothing",
    },
)
def reserved_bits_of_the_extended_state_are_refused() -> str:
    """Reserved bits of MXCSR and of the header are refused with EINVAL."""
    places = {"MXCSR": MXCSR, "xcomp_bv": XCOMP_BV, "xstate_bv": XSTATE_BV}
    said = {
        name: _set_extended(lambda contents, at=place: contents.__setitem__(slice(at, at + 4), b"\xff" * 4))  # type: ignore[misc]
        for name, place in places.items()
    }
    return ", ".join(f"{name} {answer}" for name, answer in said.items())


@fact(
    "KM8",
    clauses=("kernel.M8", "fact.E12", "linux 43be46e89698"),
    needs="xsave",
    known={
        "set 0, MXCSR 0x1f80": "since 5.14 or so",
        "set 0, MXCSR 0x3f80": "since then, on processors without XSAVEC: what was there before stays",
        "set 0, MXCSR 0x0": "before 43be46e89698",
    },
)
def mxcsr_counts_with_its_component_only() -> str:
    """An MXCSR of 0 is not loaded while xstate_bv lacks the components it belongs to."""
    with raw_ptrace.tracee(guests.mxcsr_store.code) as tracee:
        contents = bytearray(tracee.regset(lib.NT_X86_XSTATE)[1])
        struct.pack_into("<I", contents, MXCSR, 0x3F80)
        struct.pack_into("<Q", contents, XSTATE_BV, SSE)
        tracee.set_regset(lib.NT_X86_XSTATE, bytes(contents))
        struct.pack_into("<I", contents, MXCSR, 0)
        struct.pack_into("<Q", contents, XSTATE_BV, 0)
        said = tracee.set_regset(lib.NT_X86_XSTATE, bytes(contents))
        tracee.go("SYSCALL")
        # Exceptions that occurred do not matter here; an emulated processor takes over another thread's.
        return f"set {said}, MXCSR {tracee.process.arena.word() & 0xFFFFFFFF & ~NOTED:#x}"
