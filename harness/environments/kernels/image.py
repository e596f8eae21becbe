"""A bootable kernel: its image and its exact identity."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from worldswitch.harness.errors import Unobtainable

# Documentation/arch/x86/boot.rst: fields of the bzImage header.
_MAGIC = slice(0x202, 0x206)
_RELEASE = 0x20E  #: 16 bits: offset of the version's text, minus 0x200
_LONGEST = 256


@dataclass(frozen=True, slots=True)
class KernelImage:
    """A kernel and its origin."""

    name: str  #: its name in results: `6.12`, or its release for a file
    release: str  #: as `uname -r` prints it
    image: Path
    sha256: str  #: of the image
    package: str = ""  #: its package with version and suite; empty for a file

    @property
    def environment(self) -> str:
        """The name of the environment without a container on this kernel."""
        return environment_of(self.name)

    @property
    def facts(self) -> Mapping[str, str]:
        """Its description in results."""
        return {
            "kernel": self.release,
            "kernel_sha256": self.sha256,
            "kernel_package": self.package or "none: a file of the user's",
        }


def environment_of(name: str) -> str:
    """Return the name of the environment without a container on the kernel called `name`."""
    return f"linux-{name}"


def from_file(image: Path, name: str = "", package: str = "") -> KernelImage:
    """Return the kernel in a bzImage.  Raises `Unobtainable`."""
    try:
        data = image.read_bytes()
    except OSError as problem:
        raise Unobtainable(
            f"the kernel {image} cannot be read: {problem.strerror}", "give the path of a bzImage"
        ) from problem
    release = _release(data)
    if not release:
        raise Unobtainable(
            f"{image} is not an x86-64 kernel image: it has no bzImage header",
            "give the path of an arch/x86/boot/bzImage or /boot/vmlinuz-*; an uncompressed vmlinux does not boot",
        )
    return KernelImage(name or release, release, image.absolute(), hashlib.sha256(data).hexdigest(), package)


def _release(data: bytes) -> str:
    """Return the release in a bzImage; empty for any other data."""
    if data[_MAGIC] != b"HdrS":
        return ""
    (offset,) = struct.unpack_from("<H", data, _RELEASE)
    text = data[offset + 0x200 : offset + 0x200 + _LONGEST].partition(b"\0")[0].decode("ascii", "replace")
    words = text.split() if offset else []
    return words[0] if words else ""
