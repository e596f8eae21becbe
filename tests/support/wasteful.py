"""A platform with one needless stop of the guest in every switch."""

from __future__ import annotations

from worldswitch.harness.contract import AddressSpace, Event, State
from worldswitch.reference.context import PtraceContext
from worldswitch.reference.ptrace import PtracePlatform


class WastefulContext(PtraceContext):
    def switch(self, address_space: AddressSpace, state: State) -> Event:
        if self._holder is not None:
            self.nudge(self._holder)
        return super().switch(address_space, state)


class Wasteful(PtracePlatform):
    context_class = WastefulContext
