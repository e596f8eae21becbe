"""The configuration of a kernel file, if it is known, and what it says about a boot in QEMU.

It is in a file where distributions and builds put it, or in the image itself (CONFIG_IKCONFIG), which takes seconds.
"""

from __future__ import annotations

import bz2
import lzma
import struct
import zlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from worldswitch.harness.linux import regular_file

#: Without these no guest comes up.
NEEDED = (
    "64BIT",
    "BINFMT_ELF",
    "CGROUPS",
    "DEVTMPFS",
    "PROC_FS",
    "SERIAL_8250_CONSOLE",
    "SYSFS",
    "TMPFS",
    "UNIX98_PTYS",
)

#: With these built in, the kernel mounts the machine's disk by itself.
DISK = ("BLK_DEV_NVME", "EXT4_FS")

INITRAMFS = "BLK_DEV_INITRD"

_PAYLOAD = 0x248  #: Documentation/arch/x86/boot.rst: offset of the compressed kernel after the setup code, and length
_SETUP_SECTORS = 0x1F1
_MOST = 256 << 20  #: bytes of a decompressed kernel

#: By their first bytes; the standard library has no decompressor for lz4 and zstd.
_DECOMPRESSORS: Mapping[bytes, Callable[[], object]] = {
    b"\x1f\x8b": lambda: zlib.decompressobj(31),
    b"\xfd7zXZ": lzma.LZMADecompressor,
    b"]\0\0": lambda: lzma.LZMADecompressor(lzma.FORMAT_ALONE),
    b"BZh": bz2.BZ2Decompressor,
}


def read(image: Path, release: str, data: bytes) -> dict[str, str]:
    """Return the options of the kernel `data` in the file `image`, without CONFIG_; empty if they are not known."""
    return next(filter(None, map(_in_file, _beside(image, release))), None) or _parse(_in_image(data))


def missing(options: Mapping[str, str]) -> list[str]:
    """Return the options that a boot needs and that known `options` lack."""
    needed = NEEDED if is_disk_built_in(options) else (*NEEDED, INITRAMFS)
    return [f"CONFIG_{name}=y" for name in needed if options and options.get(name) != "y"]


def is_disk_built_in(options: Mapping[str, str]) -> bool:
    """True if the kernel is known to mount the disk without a module."""
    return all(options.get(name) == "y" for name in DISK)


def why_initramfs(options: Mapping[str, str]) -> str:
    """Why a kernel that lacks nothing needs an initramfs; empty if it needs none."""
    if is_disk_built_in(options):
        return ""
    if not options:
        return "its configuration is not known"
    found = (f"CONFIG_{name}={options[name]}" if name in options else f"no CONFIG_{name}" for name in DISK)
    return f"it has {', '.join(text for text in found if not text.endswith('=y'))}"


def _beside(image: Path, release: str) -> list[Path]:
    """The files of a distribution's /boot, of its /lib/modules/RELEASE, and of the tree that built the image."""
    built = [tree / ".config" for tree in image.absolute().parents[3:4] if image.parent.name == "boot"]
    return [image.with_name(f"config-{release}"), image.with_name("config"), *built]


def _in_file(file: Path) -> dict[str, str]:
    with suppress(OSError):
        return _parse(regular_file.read(file, _MOST).decode(errors="replace"))
    return {}


def _in_image(data: bytes) -> str:
    """The text between the marks of kernel/configs.c, which is compressed by gzip."""
    kernel = _decompressed(data)
    start, end = kernel.find(b"IKCFG_ST"), kernel.find(b"IKCFG_ED")
    if not 0 <= start < end:
        return ""
    with suppress(zlib.error):
        return zlib.decompressobj(31).decompress(kernel[start + 8 : end], _MOST).decode(errors="replace")
    return ""


def _decompressed(data: bytes) -> bytes:
    if len(data) < _PAYLOAD + 8:
        return b""
    offset, length = struct.unpack_from("<II", data, _PAYLOAD)
    start = ((data[_SETUP_SECTORS] or 4) + 1) * 512 + offset
    payload = data[start : start + length]
    for magic, make in _DECOMPRESSORS.items():
        if payload.startswith(magic):
            with suppress(zlib.error, lzma.LZMAError, OSError, EOFError):
                return make().decompress(payload, _MOST)  # type: ignore[attr-defined, no-any-return]
    return b""


def _parse(text: str) -> dict[str, str]:
    """Return the options that are set; the others are comments."""
    lines = (line.partition("=") for line in text.splitlines() if line.startswith("CONFIG_"))
    return {name.removeprefix("CONFIG_"): value for name, _, value in lines}
