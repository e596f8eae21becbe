"""Mutants that ignore mappings which the kernel refuses to unmap."""

from __future__ import annotations

from contextlib import suppress

from worldswitch.harness.contract import HostError
from worldswitch.reference.address_space import PtraceAddressSpace
from worldswitch.reference.mutants import mutant
from worldswitch.reference.ptrace import PtracePlatform
from worldswitch.reference.stubprocess import StubProcess
from worldswitch.reference.tracee import Tracee


class _CarefreeSpace(PtraceAddressSpace):
    def unmap(self, address: int, length: int) -> None:
        with suppress(HostError):
            super().unmap(address, length)


@mutant(
    caught_by=(
        "sealing::sealed_memory_in_the_way_is_an_error_that_changes_nothing",
        "memory_limits::one_mapping_too_many_is_an_error_that_changes_nothing",
    ),
    origin="seed.W20, turned round: the errors of munmap are not expected",
)
class SwallowsRefusedUnmaps(PtracePlatform):
    """Ignores the kernel's refusal to unmap."""

    address_space_class = _CarefreeSpace


class _HastyStub(StubProcess):
    def empty(self) -> None:
        with suppress(HostError):
            super().empty()


@mutant(
    caught_by=("sealing::a_stub_with_sealed_memory_is_not_recycled",),
    origin="seed.W15, seed.W20: Release pools a subprocess even if its unmap failed",
)
class RecyclesWhatItCannotEmpty(PtracePlatform):
    """Pools a stub although unmapping its last tenant's memory failed."""

    stub_class = _HastyStub


class _CarelessStub(StubProcess):
    def unmap_all(self, tracee: Tracee) -> None:
        with suppress(HostError):
            super().unmap_all(tracee)


@mutant(
    caught_by=("sealing::a_sealed_vdso_is_named_or_lived_with",),
    origin="pitfall 4: the unmap of vdso and vvar is not looked at",
)
class LivesWithASealedVdso(PtracePlatform):
    """Starts although the kernel's own mappings cannot be unmapped, and leaves them to guests."""

    stub_class = _CarelessStub


@mutant(
    caught_by=("sealing::a_sealed_vdso_is_named_or_lived_with",),
    origin="gVisor under CONFIG_MSEAL_SYSTEM_MAPPINGS: a bare EPERM, and the process is gone",
)
class SaysOnlyEperm(PtracePlatform):
    """Reports the first stub's errno without an explanation."""

    def _first_stub(self) -> bytes:
        self.stub_creation.birth()
        return super()._first_stub()
