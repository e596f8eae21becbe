"""The configuration of a kernel file: where it is found, and what it says about a boot."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import pytest

from worldswitch.harness.environments.kernels import configuration, image
from worldswitch.harness.errors import Unobtainable

BUILT_IN = dict.fromkeys((*configuration.NEEDED, *configuration.DISK), "y")
GENERIC = dict.fromkeys((*configuration.NEEDED, configuration.INITRAMFS), "y") | dict.fromkeys(configuration.DISK, "m")


def text(options: dict[str, str]) -> str:
    lines = [f"CONFIG_{name}={value}" for name, value in options.items()]
    return "\n".join(["# Linux/x86 6.12.1 Kernel Configuration", "# CONFIG_MODULES is not set", *lines, ""])


def bzimage(kernel: bytes = b"") -> bytes:
    """A bzImage of Linux 6.12.1 with `kernel` as its compressed part."""
    head = bytearray(5 * 512)
    head[0x202:0x206] = b"HdrS"
    head[0x300:0x307] = b"6.12.1\0"
    struct.pack_into("<H", head, 0x20E, 0x100)
    payload = gzip.compress(kernel)
    payload += bytes(-len(payload) % 16)
    struct.pack_into("<I", head, 0x1F4, len(payload) // 16)
    struct.pack_into("<II", head, 0x248, 0, len(payload))
    return bytes(head) + payload


@pytest.fixture
def file(tmp_path: Path) -> Path:
    made = tmp_path / "arch" / "x86" / "boot" / "bzImage"
    made.parent.mkdir(parents=True)
    made.write_bytes(bzimage())
    return made


@pytest.mark.parametrize("place", ["arch/x86/boot/config-6.12.1", "arch/x86/boot/config", ".config"])
def test_a_kernel_with_modules_boots_by_an_initramfs(place: str, file: Path, tmp_path: Path) -> None:
    (tmp_path / place).write_text(text(GENERIC))
    assert image.from_file(file).why_initramfs == "it has CONFIG_BLK_DEV_NVME=m, CONFIG_EXT4_FS=m"


def test_a_kernel_without_modules_mounts_its_disk(file: Path, tmp_path: Path) -> None:
    (tmp_path / ".config").write_text(text(BUILT_IN))
    assert image.from_file(file).why_initramfs == ""


def test_the_configuration_in_the_image_counts(file: Path) -> None:
    file.write_bytes(bzimage(b"code IKCFG_ST" + gzip.compress(text(BUILT_IN).encode()) + b"IKCFG_ED more"))
    assert image.from_file(file).why_initramfs == ""


def test_an_unknown_configuration_is_no_reason_to_refuse(file: Path) -> None:
    found = image.from_file(file)
    assert found.why_initramfs == "its configuration is not known"
    assert found.facts["initramfs"] == "its configuration is not known"


@pytest.mark.parametrize(
    ("options", "lacking"),
    [
        (GENERIC | {"BLK_DEV_INITRD": "n"}, "CONFIG_BLK_DEV_INITRD=y"),
        ({key: value for key, value in BUILT_IN.items() if key != "DEVTMPFS"}, "CONFIG_DEVTMPFS=y"),
        (BUILT_IN | {"SERIAL_8250_CONSOLE": "m"}, "CONFIG_SERIAL_8250_CONSOLE=y"),
    ],
)
def test_an_option_that_is_missing_is_named_before_a_boot(
    options: dict[str, str], lacking: str, file: Path, tmp_path: Path
) -> None:
    (tmp_path / ".config").write_text(text(options))
    with pytest.raises(Unobtainable, match=f"cannot boot in QEMU: its configuration lacks {lacking}") as caught:
        image.from_file(file)
    assert caught.value.reason.startswith(f"the kernel {file} ")


def test_a_kernel_of_a_package_is_one_that_boots(file: Path, tmp_path: Path) -> None:
    (tmp_path / ".config").write_text(text(GENERIC))
    assert image.from_file(file, "6.12", "linux-image 6.12").why_initramfs == ""
