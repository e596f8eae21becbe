"""A context's extended state (x87, SSE, AVX ...): in its `State`, or in the stub thread that ran it last.

The image is large: loading and reading it would cost half of a switch.  It is loaded only if the thread does not have
it: the caller wrote it, another context used the thread, or this one comes from another thread.  By default it is read
back at each stop, so that the context may continue on any thread.  A *resident* context leaves it in the thread until
`pull`, until another context needs the thread, or until the thread ends.  The seed moves it twice in each switch
(seed.W25).

Since Linux 5.14 (43be46e89698) the kernel reads MXCSR from an image only if its header lists a component that uses it.
Otherwise the control word is the initial one where the kernel uses the compacted format; in the standard format, on
processors without XSAVEC, it is the thread's previous one, which is another context's.  So the SSE registers are
added to the header of an image that does not list them, in their initial state.
"""

from __future__ import annotations

import threading
import time
from typing import Any

from worldswitch.harness.contract import State, WrongThread
from worldswitch.reference._core import ffi
from worldswitch.reference.tracee import NULL, Tracee
from worldswitch.reference.x86_64 import SSE, XMM, XMM_END, XSTATE_BV

#: The pause between two looks at an owner that Python no longer knows, in seconds, and their number: 10 s.  Looks
#: are counted, not seconds, because the clock goes on while this process is stopped and the owner does not.
END_ROUND, END_ROUNDS = 0.0005, 20_000


class ExtendedState:
    """The part of a context that tracks its extended state, and the memory of its `State`."""

    # Seams: `_take`, `_pull` and `list_control_word` are overridden by mutants.

    def __init__(self, size: int, *, resident: bool) -> None:
        self.resident = resident
        self._size = size
        self._state: State | None = None
        self._registers: Any = NULL
        self._xstate: Any = NULL
        #: The version of the state's extended state that the thread `_holder` has.
        self._loaded_version = -1
        self._holder: Tracee | None = None
        #: The address space of the last switch; None makes the next switch check everything again.
        self._space: object | None = None

    def _unsettle(self) -> None:
        """Make the next switch check everything again."""
        self._holder = self._space = None

    def _bind(self, state: State) -> None:
        """Point C at the state's memory.  Raises `ValueError` if its extended state has another machine's size."""
        if self.resident:
            self._pull()
        if len(state.xstate_buffer) != self._size:
            raise ValueError(
                f"a state with {len(state.xstate_buffer)} bytes of extended state; this machine's has "
                f"{self._size}: make it by new_state()"
            )
        self._unsettle()
        self._registers = ffi.from_buffer("struct registers *", state.registers)
        self._xstate = ffi.from_buffer(state.xstate_buffer)
        self._state = state  # last: an exception leaves it to be bound again

    def _take(self, tracee: Tracee, state: State) -> Any:
        """Take over the thread's extended state; returns the image to load.

        Nothing is called between the marks below and the switch that loads the image: no exception can separate them.
        """
        self.list_control_word(state.xstate_buffer)
        if self.resident:
            self._leave_elsewhere(tracee)
        user = tracee.user
        if user is not None and user is not self and user.resident:
            user.fetch_from(tracee)
        tracee.user = self
        self._holder = tracee
        self._loaded_version = state.xstate_version
        if self.resident:
            tracee.kept = self._xstate
        return self._xstate

    def list_control_word(self, image: bytearray) -> None:
        """List the SSE registers in the image's header, so that the kernel loads its control word."""
        if not image[XSTATE_BV] & SSE:
            image[XMM:XMM_END] = bytes(XMM_END - XMM)
            image[XSTATE_BV] |= SSE

    def _leave_elsewhere(self, tracee: Tracee) -> None:
        if self._holder is not tracee:
            self._pull()

    def _pull(self) -> None:
        """Fetch the extended state into the `State`.  Raises `WrongThread` if another living thread has it."""
        holder = self._holder
        if holder is not None and self._is_kept_by(holder):
            if holder.handle.owner != threading.get_native_id():
                self._await_end_of(holder)
            else:
                self.fetch_from(holder)

    def _is_kept_by(self, holder: Tracee) -> bool:
        return holder.user is self and holder.handle.resident != NULL and holder.stub.cause is None

    def _await_end_of(self, holder: Tracee) -> None:
        """Wait for an owner that has ended as a Python thread but not yet for the kernel.

        Its last act, parking the tracee, writes the state out.  If it vanished instead, the stub is dead and the state
        is lost.  Raises `WrongThread` if the owner lives.
        """
        owner = holder.handle.thread
        for _ in range(END_ROUNDS):
            if any(thread.ident == owner for thread in threading.enumerate()):
                break
            holder.stub.look_for_vanished()
            if not self._is_kept_by(holder):
                return
            time.sleep(END_ROUND)
        raise WrongThread(f"thread {holder.handle.owner} last switched this resident context and must pull() it first")

    def fetch_from(self, tracee: Tracee) -> None:
        """Read the extended state out of the thread that holds it, which belongs to the calling thread."""
        if tracee.handle.resident != NULL:
            tracee.read_xstate(tracee.handle.resident)
            tracee.handle.resident = NULL
        tracee.user = None
        self._unsettle()
