"""Makes system calls under a filter and reports each result: an errno, or a signal; it needs no package.

A child stores each result in shared memory, since the filter may deny every call that could report it.
"""

from __future__ import annotations

import ctypes
import gc
import json
import mmap
import os
import signal
import struct
import sys
import time

NOWHERE = 0x7FFF_FFFF  # above every pid
SECONDS = 20.0
PENDING, SLOT = -(1 << 40), 8

#: Calls that change nothing, whatever they return: name, number on x86-64, arguments.
CALLS: list[tuple[str, int, tuple[int, ...]]] = [
    ("getppid", 110, ()),
    ("getuid", 102, ()),
    ("sched_yield", 24, ()),
    ("ptrace", 101, (0x4206, NOWHERE)),
    ("ptrace", 101, (16, NOWHERE)),
    ("ptrace", 101, (31, NOWHERE)),
    ("prctl", 157, (3,)),
    ("prctl", 157, (39,)),
    ("personality", 135, (0xFFFF_FFFF,)),
    ("kill", 62, (NOWHERE, 0)),
    ("kill", 62, (NOWHERE, 9)),
    ("tgkill", 234, (NOWHERE, NOWHERE, 0)),
    ("munmap", 11, (1, 0)),
    ("mprotect", 10, (1, 0, 4)),
    ("mprotect", 10, (1, 0, 1)),
    ("clone", 56, (0x10000,)),
    ("clone", 56, (0x10100,)),
    ("unshare", 272, (0,)),
    ("fcntl", 72, (NOWHERE, 1)),
    ("fcntl", 72, (NOWHERE, 3)),
    ("ioctl", 16, (NOWHERE, 0x5412)),
    ("ioctl", 16, (NOWHERE, 1 << 32 | 0x5412)),
    ("process_vm_readv", 310, (NOWHERE,)),
    ("memfd_create", 319, (0, 0)),
    ("clone3", 435, (0, 0)),
    ("mseal", 462, (1, 1, 0)),
    ("a call of the future", 1000, ()),
    ("getppid of x32", 0x4000_0000 | 110, ()),
]


def results(calls: list[tuple[str, int, tuple[int, ...]]], filter_: bytes = b"") -> list[str]:
    """Return each call's result in a child, under `filter_` if there is one: ``errno N`` or ``signal N``."""
    with mmap.mmap(-1, SLOT * (len(calls) + 1)) as memory:
        struct.pack_into(f"={len(calls) + 1}q", memory, 0, *[PENDING] * (len(calls) + 1))
        done = 0
        while done < len(calls):
            end = _child(memory, calls, done, filter_)
            seen = struct.unpack_from(f"={len(calls)}q", memory)
            done = next((number for number, one in enumerate(seen) if one == PENDING), len(calls))
            if done < len(calls):
                struct.pack_into("=q", memory, done * SLOT, -(end or 1))
                done += 1
        return [
            f"errno {one}" if one >= 0 else f"signal {-one}" for one in struct.unpack_from(f"={len(calls)}q", memory)
        ]


def _child(memory: mmap.mmap, calls: list[tuple[str, int, tuple[int, ...]]], first: int, filter_: bytes) -> int:
    """Make the calls from `first` on in a child; return the signal that ended it, 0 if it made them all."""
    pid = os.fork()
    if not pid:
        _make(memory, calls, first, filter_)
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.WTERMSIG(status) if os.WIFSIGNALED(status) else 1000 + os.WEXITSTATUS(status)
        if struct.unpack_from("=q", memory, len(calls) * SLOT)[0] != PENDING:
            break
        time.sleep(0.0005)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return 0


def _make(memory: mmap.mmap, calls: list[tuple[str, int, tuple[int, ...]]], first: int, filter_: bytes) -> None:
    gc.disable()  # a collection could make a call that the filter kills
    libc = ctypes.CDLL(None, use_errno=True)
    make = libc.syscall
    make.restype = ctypes.c_long
    words = [
        [ctypes.c_long(number), *(ctypes.c_long(one) for one in (*arguments, *[0] * (6 - len(arguments))))]
        for _, number, arguments in calls
    ]
    numbers = ctypes.c_int64.from_buffer(memory)
    base, get_errno = ctypes.addressof(numbers), ctypes.get_errno
    slots = [ctypes.c_int64.from_address(base + SLOT * number) for number in range(len(calls) + 1)]
    if filter_:
        program = ctypes.create_string_buffer(filter_)
        header = ctypes.create_string_buffer(struct.pack("@HP", len(filter_) // 8, ctypes.addressof(program)))
        libc.prctl(38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS
        if libc.prctl(22, 2, ctypes.c_void_p(ctypes.addressof(header)), 0, 0):  # PR_SET_SECCOMP
            os._exit(99)
    for place in range(first, len(calls)):
        slots[place].value = get_errno() if make(*words[place]) == -1 else 0
    slots[len(calls)].value = 0
    while True:
        pass


if __name__ == "__main__":
    print(json.dumps(results(CALLS)), file=sys.stdout, flush=True)
