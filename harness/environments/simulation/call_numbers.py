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

#: Calls that an older libseccomp does not know, so that a runtime skips their rules; each number is the same on every
#: architecture (scripts/syscall.tbl).
NEWER = {
    "cachestat": 451,
    "fchmodat2": 452,
    "map_shadow_stack": 453,
    "futex_wake": 454,
    "futex_wait": 455,
    "futex_requeue": 456,
    "statmount": 457,
    "listmount": 458,
    "lsm_get_self_attr": 459,
    "lsm_set_self_attr": 460,
    "lsm_list_modules": 461,
    "mseal": 462,
    "setxattrat": 463,
    "getxattrat": 464,
    "listxattrat": 465,
    "removexattrat": 466,
    "open_tree_attr": 467,
    "file_getattr": 468,
    "file_setattr": 469,
}


def number(name: str, architecture: str) -> int | None:
    """Return the number of a call; None if the architecture does not have it, or it is unknown."""
    known = named(name, architecture)
    return NEWER.get(name) if known is None else known


def named(name: str, architecture: str) -> int | None:
    """Return the number that a rule with this name has; None if the runtime skips the rule."""
    if not (found := library.load()):
        return record.numbers(architecture).get(name)
    resolved = found.number(name, architecture)
    return resolved if resolved is not None and resolved >= 0 else None


def audit(architecture: str) -> int:
    """Return an architecture's value in struct seccomp_data, which libseccomp's token is but for x32."""
    found = library.load()
    return AUDIT[architecture] if architecture in AUDIT or not found else found.token(architecture)
