"""Places the stub's page: at an address that is looked up once and is the same in every stub process.

The seed walks down from the top of user space page by page until a hint is honoured, which takes minutes if a large
mapping lies there.  /proc/self/maps shows the free room at once.  Seed: stubInit.
"""

from __future__ import annotations

import errno
import mmap
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from worldswitch.harness.contract import Unavailable
from worldswitch.harness.ptrace_denial.in_a_child import refuses_executable_memory
from worldswitch.reference._core import ffi, lib

PAGE = mmap.PAGESIZE

#: The end of user space without five-level paging; with it, mappings lie below too unless an address is given.
FOUR_LEVELS_END = (1 << 47) - PAGE


@dataclass(frozen=True, slots=True)
class StubPage:
    """The stub's page and the addresses in it."""

    begin: int
    end: int
    entry: int
    call: int
    park: int  #: also the address behind the instruction of an injected call
    parked: int  #: the address behind the instruction of a parked thread's call
    task_size: int  #: the end of user addresses

    def overlaps(self, begin: int, end: int) -> bool:
        """Whether any byte of the range lies in the stub's page."""
        return begin < self.end and end > self.begin


def holes(maps: str, end: int) -> Iterator[int]:
    """The highest free page above each mapping and below `end`, highest first; `maps` is /proc/PID/maps."""
    ranges = [(int(low, 16), int(high, 16)) for low, high in re.findall(r"^(\w+)-(\w+) ", maps, re.MULTILINE)]
    for low, high in sorted(ranges, reverse=True):
        if high <= end - PAGE:
            yield end - PAGE
        if low < end:
            end = low


def install() -> StubPage:
    """Map the stub as high as there is room.  Raises `Unavailable`."""
    task_size = lib.task_size()
    try:
        maps = Path("/proc/self/maps").read_text()
    except OSError as error:
        raise Unavailable(f"looking for room for the stub's page: {error}", "allow this process to read it") from error
    for begin in holes(maps, min(task_size, FOUR_LEVELS_END)):
        rc = lib.stub_install(begin, PAGE)
        if rc == 0:
            return page_at(begin, task_size)
        if rc != -errno.EEXIST:
            raise _not_executable(begin, -rc)
    raise Unavailable(
        "/proc/self/maps shows no free page for the stub in this process's address space",
        "create the platform before mapping so much memory",
    )


def _not_executable(begin: int, error: int) -> Unavailable:
    """The error for a page that cannot be made executable."""
    said = f"mapping the stub's page at {begin:#x} failed: {os.strerror(error)}"
    remedy = "allow mmap and mprotect(PROT_EXEC) of anonymous memory"
    if error == errno.EACCES and refuses_executable_memory():
        return Unavailable(
            f"{said}: PR_SET_MDWE is in force (systemd MemoryDenyWriteExecute)", f"{remedy}: MemoryDenyWriteExecute=no"
        )
    return Unavailable(said, f"{remedy} (seccomp, SELinux execmem, PaX)")


def page_at(begin: int, task_size: int) -> StubPage:
    """The addresses in the page, with the stub at `begin`."""

    def place(label: object) -> int:
        return begin + int(ffi.cast("unsigned long", label)) - int(ffi.cast("unsigned long", lib.stub_begin))

    return StubPage(
        *(begin, begin + PAGE, place(lib.stub_entry), place(lib.stub_call)),
        *(place(lib.stub_park), place(lib.stub_parked), task_size),
    )


def remove(page: StubPage) -> None:
    """Unmap the stub's page in this process."""
    lib.stub_remove(page.begin, page.end - page.begin)
