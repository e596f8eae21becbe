"""A bootable kernel: its image and its exact identity."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from worldswitch.harness.environments.kernels import configuration
from worldswitch.harness.errors import Unobtainable
from worldswitch.harness.linux import regular_file

# Documentation/arch/x86/boot.rst: fields of the bzImage header.
_MAGIC = slice(0x202, 0x206)
_RELEASE = 0x20E  #: 16 bits: offset of the version's text, minus 0x200
_LONGEST = 256
_SECTORS, _UNITS = 0x1F1, 0x1F4

_ARM64_MAGIC = slice(0x38, 0x3C)  # Documentation/arch/arm64/booting.rst

_MOST = 512 << 20  #: bytes; the largest kernels of distributions have 20 million
_ADVICE = "give the path of an arch/x86/boot/bzImage or /boot/vmlinuz-*; an uncompressed vmlinux does not boot"


@dataclass(frozen=True, slots=True)
class KernelImage:
    """A kernel and its origin."""

    name: str  #: its name in results: `6.12`, or its release for a file
    release: str  #: as `uname -r` prints it
    image: Path
    sha256: str  #: of the image
    package: str = ""  #: its package with version and suite; empty for a file
    why_initramfs: str = ""  #: why it boots by an initramfs; empty if it mounts its disk without modules

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
            **({"initramfs": self.why_initramfs} if self.why_initramfs else {}),
        }


def environment_of(name: str) -> str:
    """Return the name of the environment without a container on the kernel called `name`."""
    return f"linux-{name}"


def from_file(image: Path, name: str = "", package: str = "") -> KernelImage:
    """Return the kernel in a bzImage; one of no package may need an initramfs.  Raises `Unobtainable`."""
    data = _read(image)
    release = _release(data)
    if not release:
        raise Unobtainable(f"{image} is not an x86-64 kernel image: {_kind(data)}", _ADVICE)
    if (length := _length(data)) > len(data):
        raise Unobtainable(f"{image} is cut short: it has {len(data)} of {length} bytes", "copy it again")
    digest = hashlib.sha256(data).hexdigest()
    why = "" if package else _why_initramfs(image, release, data)
    return KernelImage(name or release, release, image.absolute(), digest, package, why)


def _why_initramfs(image: Path, release: str, data: bytes) -> str:
    options = configuration.read(image, release, data)
    if lacking := configuration.missing(options):
        raise Unobtainable(
            f"the kernel {image} cannot boot in QEMU: its configuration lacks {', '.join(lacking)}",
            "build it with these options",
        )
    return configuration.why_initramfs(options)


def _read(image: Path) -> bytes:
    """Return the content of a file that may be a kernel, without waiting for a pipe or reading for ever."""
    try:
        return regular_file.read(image, _MOST)
    except OSError as problem:
        raise Unobtainable(f"the kernel {image} cannot be read: {problem.strerror}", _ADVICE) from problem


def _kind(data: bytes) -> str:
    """Say what the data is instead, if its first bytes tell."""
    if data[_ARM64_MAGIC] == b"ARM\x64":
        return "it is one for arm64"
    kinds = {b"\x7fELF": "it is an ELF file, perhaps an uncompressed vmlinux", b"\x1f\x8b": "it is a gzip file"}
    found = next((text for magic, text in kinds.items() if data.startswith(magic)), "")
    return f"it has no bzImage header{found and f'; {found}'}"


def _length(data: bytes) -> int:
    """Return the length that the header of a bzImage gives: setup sectors of 512 bytes, and units of 16 bytes."""
    (units,) = struct.unpack_from("<I", data, _UNITS)
    return ((data[_SECTORS] or 4) + 1) * 512 + units * 16 if units else 0


def _release(data: bytes) -> str:
    """Return the release in a bzImage; empty for any other data."""
    if data[_MAGIC] != b"HdrS":
        return ""
    (offset,) = struct.unpack_from("<H", data, _RELEASE)
    text = data[offset + 0x200 : offset + 0x200 + _LONGEST].partition(b"\0")[0].decode("ascii", "replace")
    words = text.split() if offset else []
    return words[0] if words else ""
