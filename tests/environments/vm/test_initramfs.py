"""An initramfs has the files of the disk, in the format that the kernel unpacks."""

from __future__ import annotations

import io
import os
import stat
from pathlib import Path

from worldswitch.harness.environments.vm import initramfs


def entries(data: bytes) -> dict[str, tuple[int, bytes]]:
    """The mode and content of each entry, up to the trailer."""
    found: dict[str, tuple[int, bytes]] = {}
    at = 0
    while True:
        assert data[at : at + 6] == b"070701"
        fields = [int(data[at + 6 + 8 * one : at + 14 + 8 * one], 16) for one in range(13)]
        mode, size, length = fields[1], fields[6], fields[11]
        name = data[at + 110 : at + 110 + length - 1].decode()
        content = at + (110 + length + 3) // 4 * 4
        if name == "TRAILER!!!":
            return found
        found[name] = mode, data[content : content + size]
        at = content + (size + 3) // 4 * 4


def test_every_kind_of_file_is_written_with_its_folder_first(tmp_path: Path) -> None:
    (tmp_path / "usr" / "bin").mkdir(parents=True)
    (tmp_path / "usr" / "bin" / "tool").write_bytes(b"12345")
    (tmp_path / "usr" / "bin" / "tool").chmod(0o755)
    (tmp_path / "bin").symlink_to("usr/bin")
    os.mkfifo(tmp_path / "pipe")
    file = io.BytesIO()
    initramfs.write(tmp_path, file)
    found = entries(file.getvalue())
    assert list(found) == ["bin", "usr", "usr/bin", "usr/bin/tool"]
    assert found["usr/bin/tool"] == (stat.S_IFREG | 0o755, b"12345")
    assert stat.S_ISLNK(found["bin"][0])
    assert found["bin"][1] == b"usr/bin"
    assert len(file.getvalue()) % 4 == 0
