"""A stub that cannot be finished is no stub: the caller gets the error, and nothing is left of the process."""

from __future__ import annotations

import errno
import os
import time
from dataclasses import replace

import pytest

from worldswitch.harness.contract import HostError
from worldswitch.harness.linux import processes
from worldswitch.reference._core import lib
from worldswitch.reference.plan import Step, StubPlan
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


class Stuck(PtracePlatform):
    """Its stubs stop on their way for good, as if somebody had frozen them."""

    birth_patience = 0.2
    frozen = False

    def make_plan(self, go: int) -> StubPlan:
        plan = super().make_plan(go)
        stop = Step("pause", lib.SYS_pause)
        return replace(plan, steps=(*plan.steps[:3], stop, *plan.steps[3:])) if self.frozen else plan


def test_a_stub_that_does_not_come_is_given_up() -> None:
    platform = Stuck()
    taken = platform.new_address_space()
    before = processes.descendants(os.getpid()).keys()
    platform.frozen = True
    with pytest.raises(HostError, match="does not get past pause") as refusal:
        platform.new_address_space()
    assert refusal.value.errno == errno.ETIMEDOUT
    assert processes.descendants(os.getpid()).keys() <= before
    platform.frozen = False
    platform.new_address_space()
    taken.release()
    platform.close()
