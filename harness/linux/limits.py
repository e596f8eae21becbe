"""Which limit of this process or machine an exception means, in words for the user."""

from __future__ import annotations

import errno
import resource
from collections.abc import Mapping

#: What an errno says is exhausted, the limit that may be the cause, and its option of ulimit.
_LIMITS: Mapping[int, tuple[str, int, str]] = {
    errno.EMFILE: ("this process may not open more files", resource.RLIMIT_NOFILE, "n"),
    errno.EAGAIN: ("no further process or thread could be started", resource.RLIMIT_NPROC, "u"),
    errno.ENOMEM: ("there is no more memory", resource.RLIMIT_AS, "v"),
    errno.EFBIG: ("a file may not become larger", resource.RLIMIT_FSIZE, "f"),
}

#: What else is no mistake of this program, by its errno.
_FILES: Mapping[int, str] = {
    errno.ENFILE: "the machine may not open more files (sysctl fs.file-max)",
    errno.ENOSPC: "no space is left",
    errno.EDQUOT: "the quota is exhausted",
    errno.EROFS: "the file system is read-only",
    errno.EACCES: "permission is denied",
    errno.EIO: "the device failed",
    errno.ELOOP: "its symbolic links form a circle",
    errno.ENAMETOOLONG: "the name is too long",
    errno.ESTALE: "its file system is gone",
}
#: Those that mean the machine whatever the call was; the others are about a file that the user names.
_OF_MACHINE = (errno.ENFILE, errno.ENOSPC, errno.EDQUOT, errno.EROFS)


def exhausted(error: BaseException) -> str:
    """Say which limit `error` met, with its value; empty if it is not about a limit."""
    number = _number(error)
    if number in _FILES and (number in _OF_MACHINE or getattr(error, "filename", None)):
        return f"{_where(error)}{_FILES[number]}"
    if number not in _LIMITS:
        return ""
    what, limit, option = _LIMITS[number]
    soft = resource.getrlimit(limit)[0]
    value = "no limit here: look at the machine, and at the limits of the control group"
    return f"{_where(error)}{what}: ulimit -{option} is {value if soft == resource.RLIM_INFINITY else soft}"


def _number(error: BaseException) -> int:
    if isinstance(error, OSError):
        return error.errno or 0
    if isinstance(error, MemoryError):
        return errno.ENOMEM
    no_thread = isinstance(error, RuntimeError) and "start new thread" in str(error)
    return errno.EAGAIN if no_thread else 0


def _where(error: BaseException) -> str:
    file = getattr(error, "filename", None)
    return f"{file}: " if file else ""
