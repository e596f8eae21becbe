"""The stub's seccomp filter: the few system calls that a stub process may make on the host.

Guests' system calls are emulated and never reach it (since Linux 4.8 ptrace comes before seccomp: commit 93e35efb8de4).
The filter applies to injected calls, and to calls that must never happen:

* A call from the vsyscall page raises SIGSYS.  The kernel emulates those calls without a stop, so a guest would read
  the host's clock.  The platform turns the signal into the fault of an unmapped page (seed: patchSignalInfo).
* From anywhere but the stub's two system call instructions, a call kills the process: a guest that runs untraced cannot
  reach the host.  Such a guest can jump to those instructions, so that is not enough.
* From the instruction of parked threads, only their `pause` passes.
* From the instruction of injected calls, only the calls of `KEYED` pass, and only with the stub's **key**: a random
  number in a half of an argument that the kernel ignores.  No guest sees the key: the platform puts it into the
  registers of threads that never run guests.  A call without it kills the process, so it cannot be guessed.

`Options.injectable` adds calls that need no key, since they have their arguments as given.
"""

from __future__ import annotations

import secrets
import struct
from collections.abc import Iterable

from worldswitch.reference._core import lib
from worldswitch.reference.stub_page import StubPage

# include/uapi/linux/bpf_common.h
LOAD_WORD = 0x20  # BPF_LD | BPF_W | BPF_ABS
JUMP_EQUAL = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
AND = 0x54  # BPF_ALU | BPF_AND | BPF_K
RETURN = 0x06  # BPF_RET | BPF_K

# struct seccomp_data; the instruction pointer and the arguments are 64 bits wide, little endian.
NUMBER, ARCHITECTURE, POINTER_LOW, POINTER_HIGH, FLAGS_LOW, FLAGS_HIGH = 0, 4, 8, 12, 16, 20
#: The upper half of the fifth argument: mmap's file descriptor, of which the kernel reads the lower half; the other
#: calls have no fifth.
KEY = 52

VSYSCALL_PAGE = 0xFFFF_FFFF_FF60_0000
PAGE_MASK = 0xFFFF_F000
WORD = 0xFFFF_FFFF

#: The clone flags of a stub's threads: what pthread_create shares, and nothing else.
THREAD_FLAGS: int = (
    lib.CLONE_VM | lib.CLONE_FS | lib.CLONE_FILES | lib.CLONE_SIGHAND | lib.CLONE_THREAD | lib.CLONE_SYSVSEM
)

#: The platform's own injected calls; getpid checks whether a stub answers.  Of clone, the filter checks the flags too.
KEYED: tuple[int, ...] = (lib.SYS_mmap, lib.SYS_munmap, lib.SYS_restart_syscall, lib.SYS_getpid, lib.SYS_clone)

Instruction = tuple[int, int, int, int]


def _load(offset: int) -> Instruction:
    return (LOAD_WORD, 0, 0, offset)


def _return(action: int) -> Instruction:
    return (RETURN, 0, 0, action)


def _unless_equal(value: int, skip: int) -> Instruction:
    return (JUMP_EQUAL, 0, skip, value & WORD)


ALLOW, KILL = _return(lib.SECCOMP_RET_ALLOW), _return(lib.SECCOMP_RET_KILL_PROCESS)


def _only(offset: int, value: int) -> list[Instruction]:
    """Kill unless a word of the call has this value."""
    return [_load(offset), (JUMP_EQUAL, 1, 0, value & WORD), KILL]


def _from_vsyscall_page() -> list[Instruction]:
    """Decide about addresses as high as the vsyscall page's; the higher half of the address stays loaded."""
    trap = _return(lib.SECCOMP_RET_TRAP)
    return [
        *(_load(POINTER_HIGH), _unless_equal(VSYSCALL_PAGE >> 32, 5)),
        *(_load(POINTER_LOW), (AND, 0, 0, PAGE_MASK), _unless_equal(VSYSCALL_PAGE, 1), trap, KILL),
    ]


def _from_the_stub(page: StubPage) -> list[Instruction]:
    """Decide about parked threads; kill unless the call comes from the instruction of injected ones."""
    return [
        *_only(POINTER_HIGH, page.park >> 32)[1:],
        *(_load(POINTER_LOW), _unless_equal(page.parked, 4)),
        *(*_only(NUMBER, lib.SYS_pause), ALLOW),
        *_only(POINTER_LOW, page.park)[1:],
    ]


def _any_of(numbers: Iterable[int]) -> list[Instruction]:
    """Allow these calls; the number stays loaded."""
    return [_load(NUMBER), *(one for number in numbers for one in (_unless_equal(number, 1), ALLOW))]


def program(page: StubPage, key: int, extra: Iterable[int] = ()) -> bytes:
    """The filter as an array of ``struct sock_filter``; `extra` system calls need no key."""
    instructions = [
        *_only(ARCHITECTURE, lib.AUDIT_ARCH_X86_64),
        *_from_vsyscall_page(),
        *_from_the_stub(page),
        *_any_of(extra),
        *_only(KEY, key),
        *_any_of(KEYED[:-1]),
        *_only(NUMBER, KEYED[-1])[1:],
        *_only(FLAGS_LOW, THREAD_FLAGS),
        *_only(FLAGS_HIGH, 0),
        ALLOW,
    ]
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in instructions)


def new_key() -> int:
    """A key for one stub; never 0, which is what the argument is by chance."""
    return 1 + secrets.randbelow(WORD)


def key_of(number: int, key: int) -> int:
    """The key that an injected call needs; 0 if it needs none."""
    return key if number in KEYED else 0
