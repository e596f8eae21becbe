"""The words of seccomp filters: actions, operators, architectures, flags, errno names."""

from __future__ import annotations

import errno
import sys

#: Actions of a rule, by libseccomp's names.
ACTIONS = frozenset(
    f"SCMP_ACT_{name}"
    for name in ("ALLOW", "ERRNO", "KILL", "KILL_PROCESS", "KILL_THREAD", "LOG", "NOTIFY", "TRACE", "TRAP")
)
OPERATORS = frozenset(f"SCMP_CMP_{name}" for name in ("NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"))
#: Actions with an `errnoRet`: an errno, or the tracer's message.
ANSWERING = ("SCMP_ACT_ERRNO", "SCMP_ACT_TRACE")
ALLOWING = ("SCMP_ACT_ALLOW", "SCMP_ACT_LOG")

FLAGS = frozenset(f"SECCOMP_FILTER_FLAG_{name}" for name in ("TSYNC", "LOG", "SPEC_ALLOW", "WAIT_KILLABLE_RECV"))

_BIG_ENDIAN = ("MIPS", "MIPS64", "MIPS64N32", "PARISC", "PARISC64", "PPC", "PPC64", "S390", "S390X")
_LITTLE_ENDIAN = (
    *("X86", "X86_64", "X32", "ARM", "AARCH64", "MIPSEL", "MIPSEL64", "MIPSEL64N32", "PPC64LE", "RISCV64"),
    "LOONGARCH64",
)
#: Architectures that a runtime knows, by libseccomp's names.
ARCHITECTURES = frozenset(f"SCMP_ARCH_{name}" for name in (*_BIG_ENDIAN, *_LITTLE_ENDIAN))
#: libseccomp puts only architectures of one byte order into a filter.
OTHER_BYTE_ORDER = frozenset(
    f"SCMP_ARCH_{name}" for name in (_BIG_ENDIAN if sys.byteorder == "little" else _LITTLE_ENDIAN)
)
#: Architectures that only new runtimes know, and the first that does.
SINCE = {
    "SCMP_ARCH_RISCV64": "runc before 1.1.8 refuses it",
    "SCMP_ARCH_LOONGARCH64": "runc before 1.5 and libseccomp before 2.6 refuse it",
    "SCMP_ARCH_PARISC": "runc refuses it",
    "SCMP_ARCH_PARISC64": "runc refuses it",
}

#: The kernel's name of a machine, its name in a rule's conditions, and that in `architectures` and `archMap`.
MACHINES = {
    "x86_64": ("amd64", "SCMP_ARCH_X86_64"),
    "aarch64": ("arm64", "SCMP_ARCH_AARCH64"),
    "armv7l": ("arm", "SCMP_ARCH_ARM"),
    "i686": ("x86", "SCMP_ARCH_X86"),
    "loongarch64": ("loongarch64", "SCMP_ARCH_LOONGARCH64"),
    "ppc64le": ("ppc64le", "SCMP_ARCH_PPC64LE"),
    "riscv64": ("riscv64", "SCMP_ARCH_RISCV64"),
    "s390x": ("s390x", "SCMP_ARCH_S390X"),
}
#: Architectures in a rule's conditions, by the names of Docker and Podman.
CONDITION_ARCHES = frozenset(
    "amd64 x86 x32 arm arm64 loongarch64 mips mips64 mips64n32 mips3l64n32 mipsel mipsel64 mipsel64n32 parisc parisc64 "
    "ppc ppc64 ppc64le riscv64 s390 s390x".split()
)

#: The largest errno that libseccomp accepts in an action.
MOST_ERRNO = 4094
EPERM = errno.EPERM


def errno_number(name: str) -> int | None:
    """Return the errno of a name or of decimal digits, as Podman does; None for another text."""
    if name.isascii() and name.isdecimal():
        return int(name)
    found = getattr(errno, name, None) if name.startswith("E") and name.isupper() else None
    return found if isinstance(found, int) else {"EHWPOISON": 133}.get(name)


def errno_names() -> list[str]:
    """Return the names of this machine's errnos."""
    return list(errno.errorcode.values())


def errno_name(number: int) -> str:
    """Return the name of an errno, `errno 12345` without one."""
    return errno.errorcode.get(number, f"errno {number}")
