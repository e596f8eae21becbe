"""System calls of the harness that Python has no function for."""

from __future__ import annotations

import ctypes
import os

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


def system_call(number: int, *arguments: int) -> int:
    """Make a system call with integer arguments, the others 0; its result.  Raises OSError."""
    words = [ctypes.c_ulong(argument) for argument in (number, *arguments, *(0,) * (6 - len(arguments)))]
    result: int = _libc.syscall(*words)
    if result == -1:
        error = ctypes.get_errno()
        raise OSError(error, f"system call {number}: {os.strerror(error)}")
    return result
