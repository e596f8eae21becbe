"""Keeps the stops of tracees from running the program's SIGCHLD handler.

The kernel sends SIGCHLD to a tracer at each stop of a tracee, and each would run the handler.  SA_NOCLDSTOP on the
action prevents that and leaves the ends of children as they are.  The flag is set again when the program installs
another handler, and removed when the last platform of the process is closed.

The C functions take the interpreter's lock: the action is read and written back with the flag, and signal.signal must
not run in between.  C code that calls sigaction without that lock still may: the kernel has no other way to change a
flag.
"""

from __future__ import annotations

from worldswitch.harness.contract import HostError
from worldswitch.reference._core import lib


def ignore_stops() -> None:
    """Set the flag on the present action.  Raises `HostError`."""
    rc = lib.sigchld_ignore_stops()
    if rc < 0:
        raise HostError(-rc, "setting SA_NOCLDSTOP on the action for SIGCHLD")


def heed_stops() -> None:
    """Remove the flag if `ignore_stops` set it and the action is still the same."""
    lib.sigchld_heed_stops()
