"""A kernel that a machine can boot: its image, and what exactly it is."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from worldswitch.harness.errors import Unobtainable

# Documentation/arch/x86/boot.rst: where the header of a bzImage says what it is.
_MAGIC = slice(0x202, 0x206)
_RELEASE = 0x20E  #: 16 bits: where the version's text lies, less 0x200
_LONGEST = 256


@dataclass(frozen=True, slots=True)
class KernelImage:
    """A kernel, and where it is from."""

    name: str  #: as results call it: `6.12`, or its release where nothing shorter is known
    release: str  #: as `uname -r` will say
    image: Path
    sha256: str  #: of the image
    package: str = ""  #: the package it is from, with version and suite; none for somebody's own

    @property
    def environment(self) -> str:
        """The environment in which the suite has a machine with this kernel to itself."""
        return environment_of(self.name)

    @property
    def facts(self) -> Mapping[str, str]:
        """What results say of it."""
        return {
            "kernel": self.release,
            "kernel_sha256": self.sha256,
            "kernel_package": self.package or "none: a file of the user's",
        }


def environment_of(name: str) -> str:
    """The name of the environment in which the suite is root of a machine with the kernel called so."""
    return f"linux-{name}"


def from_file(image: Path, name: str = "", package: str = "") -> KernelImage:
    """The kernel in a bzImage; `Unobtainable` if it is none."""
    try:
        data = image.read_bytes()
    except OSError as problem:
        raise Unobtainable(f"the kernel {image} cannot be read: {problem.strerror}", "name a bzImage") from problem
    release = _release(data)
    if not release:
        raise Unobtainable(
            f"{image} is no x86-64 kernel image: it has no bzImage header",
            "name an arch/x86/boot/bzImage, or a /boot/vmlinuz-*; an uncompressed vmlinux does not do",
        )
    return KernelImage(name or release, release, image.absolute(), hashlib.sha256(data).hexdigest(), package)


def _release(data: bytes) -> str:
    """What `uname -r` will say, or nothing if this is no bzImage."""
    if data[_MAGIC] != b"HdrS":
        return ""
    (place,) = struct.unpack_from("<H", data, _RELEASE)
    text = data[place + 0x200 : place + 0x200 + _LONGEST].partition(b"\0")[0].decode("ascii", "replace")
    words = text.split() if place else []
    return words[0] if words else ""
