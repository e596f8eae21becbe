"""What a stub has of its maker where no claim about a platform says it: no alternate signal stack."""

from __future__ import annotations

import ctypes
import mmap
import os
import struct
import threading

from worldswitch.harness.contract import Access, Options
from worldswitch.reference.ptrace import PtracePlatform

SYS_SIGALTSTACK, SS_DISABLE = 131, 2  # asm/unistd_64.h, linux/signal.h
STACK = "=QixxxxQ"  # stack_t


def test_a_thread_of_a_stub_has_no_signal_stack_though_its_maker_has() -> None:
    memory = ctypes.create_string_buffer(1 << 16)
    stack = struct.pack(STACK, ctypes.addressof(memory), 0, len(memory))
    given: dict[str, int] = {}

    def give(*_: object) -> None:
        name = threading.current_thread().name
        if name not in given:
            given[name] = ctypes.CDLL(None).sigaltstack(stack, None)

    threading.setprofile(give)
    try:
        platform = PtracePlatform(Options(injectable=(SYS_SIGALTSTACK,)))
    finally:
        threading.setprofile(None)
    try:
        space = platform.new_address_space()
        file = os.memfd_create("answer")
        os.ftruncate(file, mmap.PAGESIZE)
        answer = mmap.mmap(file, mmap.PAGESIZE)
        space.map_file(0x40_0000, file, 0, mmap.PAGESIZE, Access.READ | Access.WRITE)
        assert given["worldswitch-creator"] == 0
        assert space.inject(SYS_SIGALTSTACK, 0, 0x40_0000) == 0
        assert struct.unpack_from(STACK, answer) == (0, SS_DISABLE, 0)
    finally:
        platform.close()
        os.close(file)
