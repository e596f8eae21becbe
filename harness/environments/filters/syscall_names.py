"""The names of system calls: those of every architecture, and those that this machine's libseccomp resolves.

Runtimes look a name up in libseccomp and drop a rule whose name is unknown there, without a word.
"""

from __future__ import annotations

import ctypes
from functools import cache

from system_calls import syscalls

_UNKNOWN = -1  #: __NR_SCMP_ERROR
#: The architectures of libseccomp, by the names of the table.
_ARCHES = (
    *("x86_64", "i386", "x32", "arm", "arm64", "loongarch64", "m68k", "mipso32", "mips64", "mips64n32", "parisc"),
    *("powerpc", "powerpc64", "riscv32", "riscv64", "s390", "s390x", "sh"),
)
#: Names that libseccomp has and the table has not: calls that Linux removed or never had, and the ARM private range.
_OTHERS = frozenset(
    "_sysctl afs_syscall arm_sync_file_range bdflush break breakpoint cacheflush create_module ftime get_kernel_syms "
    "get_tls getpmsg gtty idle lock mpx nfsservctl prof profil putpmsg query_module security set_tls stty "
    "sys_debug_setcontext sysmips timerfd tuxcall ulimit uselib usr26 usr32 vserver".split()
)


@cache
def known() -> frozenset[str]:
    """Return the names of the calls of every architecture that libseccomp supports."""
    table = syscalls()
    return _OTHERS.union(*(table.load_arch_table(arch) for arch in _ARCHES))


class Libseccomp:
    """The libseccomp of this machine."""

    def __init__(self) -> None:
        """Load it.  Raises OSError."""
        library = ctypes.CDLL("libseccomp.so.2")
        library.seccomp_version.restype = ctypes.POINTER(ctypes.c_uint * 3)
        self.version = ".".join(map(str, library.seccomp_version().contents))
        self._resolve = library.seccomp_syscall_resolve_name
        self._resolve.argtypes, self._resolve.restype = (ctypes.c_char_p,), ctypes.c_int

    def knows(self, name: str) -> bool:
        """True if runtimes that use this library do not drop the name."""
        return "\0" not in name and self._resolve(name.encode()) != _UNKNOWN


@cache
def libseccomp() -> Libseccomp | None:
    """Return this machine's libseccomp; None if it has none."""
    try:
        return Libseccomp()
    except (OSError, AttributeError):
        return None
