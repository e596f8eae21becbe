"""The mutant that the worked scenario must catch."""

from worldswitch.harness.contract import AddressSpace, Event, State, Syscall
from worldswitch.reference.context import PtraceContext
from worldswitch.reference.ptrace import PtracePlatform


class _LeaningContext(PtraceContext):
    def switch(self, address_space: AddressSpace, state: State) -> Event:
        event = super().switch(address_space, state)
        if isinstance(event, Syscall):
            state.sp -= 8
        return event


class PushesAtEachCall(PtracePlatform):
    """Moves the stack pointer at each system call, as if the kernel had pushed a word."""

    context_class = _LeaningContext
