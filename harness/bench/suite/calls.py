"""The cost of system calls injected into a stub, and of the mappings made by them."""

from __future__ import annotations

import itertools
import mmap
import os
import time

from worldswitch.harness.bench.benchmark import Subject
from worldswitch.harness.bench.workbench import (
    DATA,
    GETPID,
    NANO,
    READ_WRITE,
    Bench,
    Timer,
    on_one_cpu,
    timed_each,
)
from worldswitch.harness.contract import Inspectable, Options, Placement, Unavailable

SUBJECT = Subject(__file__)

PAGE = mmap.PAGESIZE
MEBIBYTE = 1 << 20
#: Pages mapped one by one before all are unmapped; well below the kernel's limit on mappings per process.
PAGES = 4096


@SUBJECT.timed()
def inject_getpid(bench: Bench) -> Timer:
    """An injected system call that does nothing.

    Timed: AddressSpace.inject.  Not timed: acquiring the stub thread for it.
    """
    space = bench.platform(Options(placement=Placement.PIN)).new_address_space()
    if not isinstance(space, Inspectable):
        raise Unavailable("the platform cannot inject: it has no Inspectable part")
    inject = space.inject

    def timer(loops: int) -> float:
        begin = time.perf_counter_ns()
        for _ in range(loops):
            inject(GETPID)
        return (time.perf_counter_ns() - begin) * NANO

    return on_one_cpu(timer)


@SUBJECT.timed()
def map_and_unmap(bench: Bench) -> Timer:
    """A page mapped and unmapped again, two injected calls.

    Timed: AddressSpace.map_file and AddressSpace.unmap.  Not timed: making the file.
    """
    space = bench.platform().new_address_space()
    file = bench.file(PAGE)

    def both() -> None:
        space.map_file(DATA, file, 0, PAGE, READ_WRITE)
        space.unmap(DATA, PAGE)

    return on_one_cpu(timed_each(both))


@SUBJECT.timed()
def map_file(bench: Bench) -> Timer:
    """One more page of a file mapped after the last, as a growing heap does.

    Timed: AddressSpace.map_file.  Not timed: unmapping all after some thousands.
    """
    space = bench.platform().new_address_space()
    file = bench.file(PAGES * PAGE)
    offsets = itertools.cycle(range(0, PAGES * PAGE, PAGE))
    offset = 0

    def map_next() -> None:
        nonlocal offset
        offset = next(offsets)
        space.map_file(DATA + offset, file, offset, PAGE, READ_WRITE)

    def unmap_all() -> None:
        if offset == (PAGES - 1) * PAGE:
            space.unmap(DATA, PAGES * PAGE)

    return on_one_cpu(timed_each(map_next, unmap_all))


@SUBJECT.timed()
def unmap(bench: Bench) -> Timer:
    """A page unmapped.

    Timed: AddressSpace.unmap.  Not timed: mapping it again.
    """
    space = bench.platform().new_address_space()
    file = bench.file(PAGE)

    def map_again() -> None:
        space.map_file(DATA, file, 0, PAGE, READ_WRITE)

    map_again()
    return on_one_cpu(timed_each(lambda: space.unmap(DATA, PAGE), map_again))


@SUBJECT.timed()
def map_mebibyte(bench: Bench) -> Timer:
    """A mebibyte mapped, its pages left to be faulted in.

    Timed: AddressSpace.map_file.  Not timed: unmapping it.
    """
    return _mebibyte(bench, precommit=False)


@SUBJECT.timed()
def precommit_mebibyte(bench: Bench) -> Timer:
    """A mebibyte mapped with all its pages, which the file has already.

    Timed: AddressSpace.map_file with precommit.  Not timed: unmapping it, filling the file.
    """
    return _mebibyte(bench, precommit=True)


def _mebibyte(bench: Bench, *, precommit: bool) -> Timer:
    space = bench.platform().new_address_space()
    file = bench.file(MEBIBYTE, os.urandom(MEBIBYTE))
    return on_one_cpu(
        timed_each(
            lambda: space.map_file(DATA, file, 0, MEBIBYTE, READ_WRITE, precommit=precommit),
            lambda: space.unmap(DATA, MEBIBYTE),
        )
    )
