"""A stub that cannot be finished is no stub: the caller gets the error, and nothing is left of the process."""

from __future__ import annotations

import errno
import os
import time

import pytest

from worldswitch.harness import processes
from worldswitch.harness.contract import HostError
from worldswitch.reference.ptrace import PtracePlatform
from worldswitch.reference.stubprocess import StubProcess
from worldswitch.reference.tracee import Tracee


class Sealed(StubProcess):
    """What a kernel that seals its own mappings makes of a stub."""

    def unmap_all(self, tracee: Tracee) -> None:
        raise HostError(errno.EPERM, "munmap in the stub")


def test_a_stub_that_cannot_be_finished_is_ended() -> None:
    platform = PtracePlatform()
    taken = platform.new_address_space()
    before = processes.descendants(os.getpid()).keys()
    platform.stub_class = Sealed
    with pytest.raises(HostError):
        platform.new_address_space()
    until = time.monotonic() + 10
    while (left := processes.descendants(os.getpid()).keys() - before) and time.monotonic() < until:
        time.sleep(0.01)
    platform.stub_class = StubProcess
    taken.release()
    platform.close()
    assert not left
