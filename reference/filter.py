"""The stub's seccomp filter: the few system calls that a stub process may make on the host.

Guests' system calls are emulated and never reach it (since Linux 4.8 ptrace comes before seccomp: commit 93e35efb8de4).
The filter applies to injected calls, and to calls that must never happen:

* A call from the vsyscall page raises SIGSYS.  The kernel emulates those calls without a stop, so a guest would read
  the host's clock.  The platform turns the signal into the fault of an unmapped page (seed: patchSignalInfo).
* A call from outside the stub's page kills the process: a guest that runs untraced cannot reach the host.
* From the stub's page only the injected calls pass.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

from worldswitch.reference._core import lib

# include/uapi/linux/bpf_common.h
LOAD_WORD = 0x20  # BPF_LD | BPF_W | BPF_ABS
JUMP_EQUAL = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
AND = 0x54  # BPF_ALU | BPF_AND | BPF_K
RETURN = 0x06  # BPF_RET | BPF_K

# struct seccomp_data; the instruction pointer and the first argument are 64 bits wide, little endian.
NUMBER, ARCHITECTURE, POINTER_LOW, POINTER_HIGH, ARGUMENT_LOW = 0, 4, 8, 12, 16

VSYSCALL_PAGE = 0xFFFF_FFFF_FF60_0000

#: The clone flags of a stub's threads: what pthread_create shares, and nothing else.
THREAD_FLAGS: int = (
    lib.CLONE_VM | lib.CLONE_FS | lib.CLONE_FILES | lib.CLONE_SIGHAND | lib.CLONE_THREAD | lib.CLONE_SYSVSEM
)

#: The injected system calls; clone, with THREAD_FLAGS only, is added below.
INJECTED: tuple[int, ...] = (
    *(lib.SYS_mmap, lib.SYS_munmap, lib.SYS_restart_syscall),
    lib.SYS_pause,  # parked threads wait in it
    lib.SYS_getpid,  # checks whether a stub answers
)

Instruction = tuple[int, int, int, int]


def _load(offset: int) -> Instruction:
    return (LOAD_WORD, 0, 0, offset)


def _return(action: int) -> Instruction:
    return (RETURN, 0, 0, action)


def _unless_equal(value: int, skip: int) -> Instruction:
    return (JUMP_EQUAL, 0, skip, value & 0xFFFF_FFFF)


def _on_page(page: int, action: Instruction | None) -> list[Instruction]:
    """Return `action` if the instruction pointer is on `page`; with no action, kill if it is not."""
    page_mask = (AND, 0, 0, 0xFFFF_F000)
    if action is None:
        kill = _return(lib.SECCOMP_RET_KILL_PROCESS)
        return [
            *(_load(POINTER_HIGH), (JUMP_EQUAL, 1, 0, page >> 32), kill),
            *(_load(POINTER_LOW), page_mask, (JUMP_EQUAL, 1, 0, page & 0xFFFF_F000), kill),
        ]
    return [
        *(_load(POINTER_HIGH), _unless_equal(page >> 32, 4)),
        *(_load(POINTER_LOW), page_mask, _unless_equal(page, 1), action),
    ]


def program(stub_page: int, extra: Iterable[int] = ()) -> bytes:
    """The filter as an array of ``struct sock_filter``; `extra` system calls are allowed from the stub's page too."""
    allow = _return(lib.SECCOMP_RET_ALLOW)
    extra = tuple(extra)
    instructions = [
        *(_load(ARCHITECTURE), (JUMP_EQUAL, 1, 0, lib.AUDIT_ARCH_X86_64), _return(lib.SECCOMP_RET_KILL_PROCESS)),
        *_on_page(VSYSCALL_PAGE, _return(lib.SECCOMP_RET_TRAP)),
        *_on_page(stub_page, None),
        _load(NUMBER),
    ]
    for number in (*INJECTED, *extra):
        instructions += [_unless_equal(number, 1), allow]
    instructions += [
        _unless_equal(lib.SYS_clone, 3),
        *(_load(ARGUMENT_LOW), _unless_equal(THREAD_FLAGS, 1), allow),
        _return(lib.SECCOMP_RET_KILL_PROCESS),
    ]
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in instructions)
