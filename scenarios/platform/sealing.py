"""Sealed memory: it cannot be unmapped or replaced, so that is an error, and its stub gets no other owner.

Sealing came with Linux 6.10 (mseal(2)).  Kernels built with CONFIG_MSEAL_SYSTEM_MAPPINGS seal their own mappings, vdso
and vvar, in every process.
"""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import cast

from worldswitch.harness.contract import Access, HostError, Platform, Syscall, Unavailable
from worldswitch.scenarios import guests
from worldswitch.scenarios.declare import scenario
from worldswitch.scenarios.guests import Number
from worldswitch.scenarios.stage.deaths import wait_until_gone
from worldswitch.scenarios.stage.memory_guests import is_whole, reader
from worldswitch.scenarios.stage.processes import MemoryMapping, mappings_of
from worldswitch.scenarios.stage.stage import PAGE, Guest, InspectableAddressSpace, Stage
from worldswitch.scenarios.stage.steady_guests import outcome_of

MSEAL = 462  # asm/unistd_64.h, since Linux 6.10

#: Mappings that the kernel adds to every process (arch/x86/entry/vdso/vma.c), and may seal.
SYSTEM_MAPPINGS = ("[vdso]", "[vvar]", "[vvar_vclock]")

_libc = ctypes.CDLL(None, use_errno=True)


@scenario("AS14", "K51", clauses=("seed.W20", "seed.Unmap", "mseal(2)"), needs="mseal")
def sealed_memory_in_the_way_is_an_error_that_changes_nothing(stage: Stage) -> None:
    """Unmapping or replacing a range with a sealed page raises EPERM and changes nothing."""
    guest, address = _guest_with_a_sealed_page(stage)
    space = stage.inspect(guest.space)
    before = mappings_of(space.stub.pid)
    _denied(partial(space.unmap, address, 3 * PAGE))
    _denied(partial(space.map_file, address, guest.data.fd, 0, 3 * PAGE, Access.READ))
    assert mappings_of(space.stub.pid) == before
    for page in range(3):
        guest.state.pc, guest.state["rdi"] = guest.code, address + page * PAGE
        assert guest.switch() == Syscall(Number.GETPID)
        assert guest.state["rsi"] == 10 + page
    space.unmap(address, PAGE)
    is_whole(guest)


@scenario("AS14", "K51", clauses=("seed.Release", "seed.W20", "mseal(2)"), needs="mseal")
def a_stub_with_sealed_memory_is_not_recycled(stage: Stage) -> None:
    """A released stub with sealed memory is ended and not recycled."""
    for wait in (True, False):
        guest, _ = _guest_with_a_sealed_page(stage)
        pid = stage.inspect(guest.space).stub.pid
        with suppress(HostError):
            guest.space.release(wait=wait)
        for _ in range(3):
            space = stage.inspect(stage.space(guest.platform))
            assert space.stub.pid != pid, "the stub with sealed memory was recycled"
            assert _names(space) <= {"", "[vsyscall]"}
        wait_until_gone(stage, pid)
        assert stage.guest(guests.getpid_loop, space=space, platform=guest.platform).switch() == Syscall(Number.GETPID)


@scenario("AS14", "K52", clauses=("CONFIG_MSEAL_SYSTEM_MAPPINGS", "seed.W20"), needs="mseal")
def a_sealed_vdso_is_named_or_lived_with(stage: Stage) -> None:
    """Where vdso and vvar are sealed, the platform names that and a remedy, or works without them in its stubs."""
    for mapping in mappings_of(os.getpid()):
        if mapping.name in SYSTEM_MAPPINGS:
            _seal(mapping)
    platform = _start(stage)
    if isinstance(platform, Unavailable):
        assert "seal" in platform.reason, f"the sealed mapping is not named: {platform}"
        assert platform.remedy, f"the error names no remedy: {platform}"
        return
    space = stage.inspect(stage.space(platform))
    assert not _names(space) & set(SYSTEM_MAPPINGS), "a guest can read the host's clock from the vdso"
    assert stage.guest(guests.getpid_loop, space=space, platform=platform).switch() == Syscall(Number.GETPID)


# -------------------------------------------------------------------------------------------------------------- helpers


def _start(stage: Stage) -> Platform | Unavailable:
    """A platform, or the reason why there is none."""
    platform = outcome_of(stage.trial.platform)
    if isinstance(platform, Exception) and not isinstance(platform, Unavailable):
        raise AssertionError(f"expected a platform or Unavailable, got {platform!r}") from platform
    return cast(Platform, platform)


def _guest_with_a_sealed_page(stage: Stage) -> tuple[Guest, int]:
    """A guest, and three pages of its memory with the middle one sealed."""
    guest = reader(stage, stage.platform_with(injectable=(MSEAL,)))
    memory = stage.memory(3 * PAGE)
    for page in range(3):
        memory.set_word(page * PAGE, 10 + page)
    address = stage.map(guest.space, memory)
    stage.inspect(guest.space).inject(MSEAL, address + PAGE, PAGE, 0)
    return guest, address


def _denied(operation: Callable[[], None]) -> None:
    outcome = outcome_of(operation)
    assert isinstance(outcome, HostError), f"with a sealed page in the range, the result was {outcome!r}"
    assert outcome.errno == errno.EPERM, f"refused with {outcome}"


def _names(space: InspectableAddressSpace) -> set[str]:
    return {mapping.name for mapping in mappings_of(space.stub.pid)}


def _seal(mapping: MemoryMapping) -> None:
    begin, length = ctypes.c_ulong(mapping.begin), ctypes.c_ulong(mapping.end - mapping.begin)
    if _libc.syscall(MSEAL, begin, length, ctypes.c_ulong(0)) != 0:
        raise OSError(ctypes.get_errno(), f"mseal of {mapping.name}")
