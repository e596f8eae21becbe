"""A platform that asks the kernel for one thing too many in every operation."""

from __future__ import annotations

from pathlib import Path

from worldswitch.harness.contract import AddressSpace, Event, State
from worldswitch.reference.context import PtraceContext
from worldswitch.reference.ptrace import PtracePlatform
from worldswitch.reference.stubprocess import StubProcess
from worldswitch.reference.tracee import Tracee


class WastefulContext(PtraceContext):
    """Stops the guest needlessly at each switch, and opens a file of /proc at each interrupt."""

    def switch(self, address_space: AddressSpace, state: State) -> Event:
        if self._holder is not None:
            self.nudge(self._holder)
        return super().switch(address_space, state)

    def interrupt(self) -> None:
        Path("/proc/self/stat").read_text()
        super().interrupt()


class WastefulTracee(Tracee):
    """Reads the registers before each injected call."""

    def call_once(self, number: int, *arguments: int) -> int:
        self.registers()
        return super().call_once(number, *arguments)


class WastefulStub(StubProcess):
    tracee_class = WastefulTracee


class Wasteful(PtracePlatform):
    context_class = WastefulContext
    stub_class = WastefulStub
