"""Makes the part classes that mutants use."""

from __future__ import annotations

from worldswitch.reference.stubprocess import StubProcess
from worldswitch.reference.tracee import Tracee


def stub_of(tracee: type[Tracee]) -> type[StubProcess]:
    """A stub process whose threads are of the class `tracee`."""
    return type(f"StubOf{tracee.__name__}", (StubProcess,), {"tracee_class": tracee})
