"""A guest's system call, rewritten by its tracer at the stop in two ways with the same effect.

Since Linux 6.16 a tracer can write a call's number and arguments without knowing their registers.  The platform need
not use that; the claim is that its guests stop where both ways work.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct

import pytest

from worldswitch.harness.arch import registers
from worldswitch.scenarios import guests
from worldswitch.scenarios.declare import scenario
from worldswitch.scenarios.guests import Number
from worldswitch.scenarios.stage.processes import threads_of
from worldswitch.scenarios.stage.stage import Stage
from worldswitch.scenarios.stage.steady_guests import makes_calls
from worldswitch.scenarios.stage.waiting_calls import current_call

# <linux/ptrace.h>
PTRACE_GETREGS, PTRACE_SETREGS = 12, 13
PTRACE_GET_SYSCALL_INFO, PTRACE_SET_SYSCALL_INFO = 0x420E, 0x4212
ENTRY = 1
# struct ptrace_syscall_info: the fields before the union, the member `entry`, and the size of the whole.
HEAD, CALL, SIZE = "=BBHIQQ", "=7Q", 88

#: The call that replaces the guest's.
CLOSE = (int(Number.CLOSE), 1 << 40, 2 << 40, 3 << 40, 4 << 40, 5 << 40, 2**64 - 6)
CALLS_REGISTERS = ("orig_rax", *(registers.NAMES[index] for index in registers.ARGUMENTS))

_libc = ctypes.CDLL(None, use_errno=True)


@scenario("K21", clauses="ptrace(2) PTRACE_SET_SYSCALL_INFO", needs="syscall_info set_syscall_info", normal=5, soak=200)
def a_call_can_be_rewritten_by_its_name_or_by_its_registers(stage: Stage) -> None:
    """At a guest's system call, PTRACE_SET_SYSCALL_INFO and PTRACE_SETREGS write the same call."""
    guest = stage.guest(guests.getpid_loop)
    pid = stage.inspect(guest.space).stub.pid
    for _ in range(stage.trial.repeat):
        makes_calls(guest, 1)
        calling = [tid for tid in threads_of(pid) if current_call(pid, tid)[:1] == [Number.GETPID]]
        assert len(calling) == 1, f"{len(calling)} threads of the stub are at the guest's call"
        (tid,) = calling
        before = read(PTRACE_GETREGS, tid, registers.SIZE)
        head, call = said_of(tid)
        assert (head[0], call[0]) == (ENTRY, Number.GETPID), f"not at the entry of its call: {head}, {call}"
        request(PTRACE_SET_SYSCALL_INFO, tid, (struct.pack(HEAD, *head) + struct.pack(CALL, *CLOSE)).ljust(SIZE, b"\0"))
        by_name = read(PTRACE_GETREGS, tid, registers.SIZE)
        request(PTRACE_SETREGS, tid, before)
        assert said_of(tid) == (head, call)
        request(PTRACE_SETREGS, tid, with_call(before, CLOSE))
        assert (by_name, said_of(tid)) == (read(PTRACE_GETREGS, tid, registers.SIZE), (head, CLOSE))
        request(PTRACE_SETREGS, tid, before)
        makes_calls(guest, 1)


def said_of(tid: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The answer of PTRACE_GET_SYSCALL_INFO: the common fields, and the call with its arguments."""
    raw = read(PTRACE_GET_SYSCALL_INFO, tid, SIZE)
    return struct.unpack_from(HEAD, raw), struct.unpack_from(CALL, raw, struct.calcsize(HEAD))


def with_call(image: bytes, call: tuple[int, ...]) -> bytes:
    """Registers with another call in them."""
    words = list(struct.unpack(f"={len(image) // 8}Q", image))
    for name, value in zip(CALLS_REGISTERS, call, strict=True):
        words[registers.INDEX[name]] = value
    return struct.pack(f"={len(words)}Q", *words)


def read(which: int, tid: int, size: int) -> bytes:
    """The buffer that a request fills."""
    return request(which, tid, bytes(size))


def request(which: int, tid: int, image: bytes) -> bytes:
    """Make a request on a thread that this thread traces; skip if another thread traces it."""
    buffer = ctypes.create_string_buffer(image, len(image))
    sized = which in (PTRACE_GET_SYSCALL_INFO, PTRACE_SET_SYSCALL_INFO)
    words = (ctypes.c_long(which), ctypes.c_long(tid), ctypes.c_long(len(image) if sized else 0))
    if _libc.ptrace(*words, buffer) < 0:
        error = ctypes.get_errno()
        if error == errno.ESRCH:
            pytest.skip("unsupported: this platform's guests are not traced by the thread that switches them")
        raise OSError(error, f"ptrace request {which:#x}: {os.strerror(error)}")
    return buffer.raw
