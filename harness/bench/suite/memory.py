"""The cost of reading guest memory: through the shared mapping, and through /proc/PID/mem for comparison."""

from __future__ import annotations

import mmap
import os
import time

from worldswitch.harness.bench.benchmark import Subject
from worldswitch.harness.bench.workbench import DATA, NANO, READ_WRITE, Bench, Timer, on_one_cpu
from worldswitch.harness.contract import Inspectable, Unavailable

SUBJECT = Subject(__file__)

SIZES = (8, 4096, 1 << 20)


@SUBJECT.series(SIZES)
def shared(bench: Bench, size: int) -> Timer:
    """N bytes read from the mapping that Python shares with the guest.

    Timed: slicing the mapping into bytes.  Not timed: mapping the file, on either side.
    """
    length = max(size, mmap.PAGESIZE)
    memory = mmap.mmap(bench.file(length, os.urandom(length)), length)
    bench.ending.callback(memory.close)

    def timer(loops: int) -> float:
        begin = time.perf_counter_ns()
        for _ in range(loops):
            memory[:size]
        return (time.perf_counter_ns() - begin) * NANO

    return on_one_cpu(timer)


@SUBJECT.series(SIZES)
def proc_mem(bench: Bench, size: int) -> Timer:
    """N bytes read from the stub's /proc/PID/mem, for comparison: no platform needs to read memory that way.

    Timed: pread(2) into new bytes.  Not timed: opening the file, faulting the pages in.
    """
    space = bench.platform().new_address_space()
    if not isinstance(space, Inspectable):
        raise Unavailable("the platform does not say which process its stub is: it has no Inspectable part")
    length = max(size, mmap.PAGESIZE)
    space.map_file(DATA, bench.file(length, os.urandom(length)), 0, length, READ_WRITE, precommit=True)
    descriptor = os.open(f"/proc/{space.stub.pid}/mem", os.O_RDONLY)
    bench.ending.callback(os.close, descriptor)

    def timer(loops: int) -> float:
        begin = time.perf_counter_ns()
        for _ in range(loops):
            os.pread(descriptor, size, DATA)
        return (time.perf_counter_ns() - begin) * NANO

    return on_one_cpu(timer)
