"""Keeps the stops of tracees from running the program's SIGCHLD handler.

The kernel sends SIGCHLD to a tracer at each stop of a tracee, and each would run the handler.  SA_NOCLDSTOP on the
action prevents that and leaves the ends of children as they are.  The flag is set again when the program installs
another handler, and removed when the last platform of the process is closed.
"""

from __future__ import annotations

import ctypes

from worldswitch.reference import _core

#: Through ctypes, not cffi, because PyDLL keeps the interpreter's lock: the action is read and written back with the
#: flag, and signal.signal must not run in between.  C code that calls sigaction without that lock still may: the kernel
#: has no other way to change a flag.
_with_lock = ctypes.PyDLL(_core.__file__)


def ignore_stops() -> None:
    """Set the flag on the present action."""
    _with_lock.sigchld_ignore_stops()


def heed_stops() -> None:
    """Remove the flag if `ignore_stops` set it and the action is still the same."""
    _with_lock.sigchld_heed_stops()
