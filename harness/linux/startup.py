"""What this process may lack because of how its parent started it: signals, standard streams, a usable umask.

A parent may block or ignore signals, close standard streams, set odd limits and Python options.  Children inherit all
of it: a guardian with SIGCHLD blocked never learns that a cell has ended.
"""

from __future__ import annotations

import io
import os
import resource
import signal
import sys
import warnings
from collections.abc import Iterable
from pathlib import Path

#: Signals whose inherited disposition is the user's choice: nohup(1) ignores SIGHUP.
KEPT = frozenset((signal.SIGHUP,))

#: Signals that Python ignores for itself.
_IGNORED = frozenset((signal.SIGPIPE, signal.SIGXFSZ))

_FIXED = frozenset((signal.SIGKILL, signal.SIGSTOP))

DESCRIPTORS = 1024  #: raise a lower soft limit of open files to this, if the hard limit allows it

NEEDED = 64  #: open files, for a cell with a few workers

OWNER = 0o700  #: the permissions that a umask must leave to the owner of new files


def prepare(keep: Iterable[signal.Signals] = ()) -> None:
    """Undo what a parent has withheld; signals in `keep` stay ignored if they are."""
    _open_standard_streams()
    _reset_signals(frozenset(keep))
    os.umask(os.umask(0o077) & ~OWNER)
    _raise_descriptor_limit()
    _relax_warnings()


def problem() -> str:
    """Why this process cannot start in the state that it is in; empty if it can."""
    if sys.flags.optimize:
        return (
            "scenarios are assertions, which python -O removes: none could fail; "
            "unset PYTHONOPTIMIZE, and run again without -O"
        )
    if os.getpid() < 1:
        return (
            "getpid returns an error: a seccomp filter denies it, and a signal to this process would reach every "
            "process; allow the call"
        )
    if (limit := resource.getrlimit(resource.RLIMIT_NOFILE)[0]) != resource.RLIM_INFINITY and limit < NEEDED:
        return f"this process may open {limit} files, and needs {NEEDED}: ulimit -n {NEEDED}"
    try:
        Path.cwd()
    except OSError as error:
        return f"the working directory cannot be found ({error.strerror}): it was removed; cd to another, and run again"
    return ""


def _open_standard_streams() -> None:
    """Open /dev/null for each closed standard stream, since the next file opened would take its place."""
    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(descriptor)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != descriptor:
                os.dup2(opened, descriptor)
                os.close(opened)
            os.set_inheritable(descriptor, True)
        if getattr(sys, name) is None:  # Python found it closed
            setattr(sys, name, open(descriptor, "w" if descriptor else "r", closefd=False))  # noqa: SIM115
        stream = getattr(sys, name)
        if descriptor and isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # names of files may have any bytes


def _reset_signals(keep: frozenset[signal.Signals]) -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    for signo in signal.valid_signals() - _FIXED - _IGNORED - keep:
        if signal.getsignal(signo) is signal.SIG_IGN:
            signal.signal(signo, signal.default_int_handler if signo == signal.SIGINT else signal.SIG_DFL)


def _raise_descriptor_limit() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= soft < DESCRIPTORS:
        wanted = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, DESCRIPTORS)
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _relax_warnings() -> None:
    """Print warnings rather than raise them: they are about dependencies, and PYTHONWARNINGS was set for others."""
    if any(option.startswith("error") for option in sys.warnoptions):
        sys.warnoptions.clear()
        os.environ.pop("PYTHONWARNINGS", None)
        warnings.resetwarnings()
