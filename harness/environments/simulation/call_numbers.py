"""System call numbers by name and architecture: libseccomp's, or those of the shipped record without the library."""

from __future__ import annotations

from worldswitch.harness.environments.simulation import library, record

#: Names of architectures in filters: the value in struct seccomp_data (include/uapi/linux/audit.h).
AUDIT = {
    "SCMP_ARCH_X86_64": 0xC000_003E,
    "SCMP_ARCH_X86": 0x4000_0003,
    "SCMP_ARCH_X32": 0xC000_003E,
    "SCMP_ARCH_AARCH64": 0xC000_00B7,
    "SCMP_ARCH_ARM": 0x4000_0028,
}
X32_BIT = 1 << 30  #: __X32_SYSCALL_BIT, arch/x86/include/uapi/asm/unistd.h

#: The kernel's name of a machine: the architecture in filters.
NATIVE = {"x86_64": "SCMP_ARCH_X86_64", "aarch64": "SCMP_ARCH_AARCH64"}


def number(name: str, architecture: str) -> int | None:
    """Return the number of a call; None if the architecture does not have it, or it is unknown."""
    if found := library.load():
        resolved = found.number(name, architecture)
        return resolved if resolved is not None and resolved >= 0 else None
    return record.numbers(architecture).get(name)


def audit(architecture: str) -> int:
    """Return an architecture's value in struct seccomp_data, which libseccomp's token is but for x32."""
    found = library.load()
    return AUDIT[architecture] if architecture in AUDIT or not found else found.token(architecture)
