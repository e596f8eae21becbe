"""The guest kernel: parsing of ELF files, the process image, system calls, and how programs end."""

from __future__ import annotations

import errno
import os
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from worldswitch.harness.contract import Access
from worldswitch.harness.guest_kernel import __main__ as guest_program
from worldswitch.harness.guest_kernel import elf
from worldswitch.harness.guest_kernel.calls import CALLS
from worldswitch.harness.guest_kernel.memory import PAGE, BadPointer
from worldswitch.harness.guest_kernel.process import GuestProcess
from worldswitch.harness.peers.peer import program
from worldswitch.reference.ptrace import PtracePlatform

GETPID = program("getpid")
WRITE, READ, OPEN, CLOSE, MMAP, MUNMAP, BRK, ARCH_PRCTL, CLOCK, OPENAT = 1, 0, 2, 3, 9, 11, 12, 158, 228, 257


@pytest.fixture
def process() -> Iterator[GuestProcess]:
    platform = PtracePlatform()
    made = GuestProcess(platform, GETPID, ["3"])
    yield made
    made.close()
    platform.close()


def call(process: GuestProcess, number: int, *arguments: int) -> int:
    """Serve one system call of the program."""
    for name, value in zip(("rdi", "rsi", "rdx", "r10", "r8", "r9"), arguments, strict=False):
        process.state[name] = value
    return CALLS[number](process)


def run(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", "-m", "worldswitch.harness.guest_kernel", "--resident", str(program(name))]
    return subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=60, check=False)


# -------------------------------------------------------------------------------------------------------------- elf


def test_a_static_program_is_parsed() -> None:
    found = elf.parse(GETPID.read_bytes(), "getpid")
    assert any(one.address <= found.entry < one.address + one.size for one in found.segments)
    assert Access.READ | Access.EXECUTE in [one.access for one in found.segments]
    assert found.headers in range(min(one.address for one in found.segments), found.end)


def _changed(offset: int, new: bytes) -> bytes:
    image = bytearray(GETPID.read_bytes())
    image[offset : offset + len(new)] = new
    return bytes(image)


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (b"", "Magic number does not match"),
        (b"#!/bin/sh\n" * 20, "Magic number does not match"),
        (GETPID.read_bytes()[:70], "expected 4, found 2"),
        (_changed(4, b"\x01"), "it is ELFCLASS32"),
        (_changed(5, b"\x02"), "ELFDATA2MSB"),
        (_changed(16, b"\x03"), "ET_DYN"),
        (_changed(18, b"\xb7"), "EM_AARCH64"),
        (_changed(64, struct.pack("<I", 3)), "needs an interpreter"),
        (_changed(56, b"\0\0"), "no loadable segment"),
        (_changed(64 + 8, struct.pack("<Q", 1 << 63)), "too large|cannot fit"),
        (_changed(64 + 32, struct.pack("<Q", 1 << 40)), "is truncated"),
    ],
)
def test_other_files_are_refused_with_the_reason(image: bytes, reason: str) -> None:
    with pytest.raises(elf.NotAProgram, match=f"some file: not a static 64-bit program: .*{reason}"):
        elf.parse(image, "some file")


# ----------------------------------------------------------------------------------------------------- system calls


def test_the_stack_is_as_execve_leaves_it(process: GuestProcess) -> None:
    sp = process.state.sp
    count, path, argument, end, environment = struct.unpack("<5Q", process.memory.read(sp, 40))
    assert (count, end, environment) == (2, 0, 0)
    assert process.memory.text(path) == os.fsencode(GETPID)
    assert process.memory.text(argument) == b"3"
    assert sp % 16 == 0
    auxiliary = dict(struct.iter_unpack("<QQ", process.memory.read(sp + 40, 7 * 16)))
    assert auxiliary[6] == PAGE
    assert auxiliary[9] == process.state.pc
    assert process.memory.read(auxiliary[3], 4) == GETPID.read_bytes()[64:68]


def test_anonymous_memory_is_mapped_and_unmapped(process: GuestProcess) -> None:
    address = call(process, MMAP, 0, 3 * PAGE - 1, 3, 0x22, (1 << 64) - 1, 0)
    process.memory.write(address + 3 * PAGE - 1, b"x")
    assert call(process, MUNMAP, address, 3 * PAGE) == 0
    with pytest.raises(BadPointer):
        process.memory.read(address, 1)
    assert call(process, MMAP, 0, PAGE, 3, 0x02, 3, 0) == -errno.ENODEV


def test_the_heap_grows_to_its_limit(process: GuestProcess) -> None:
    begin = call(process, BRK, 0)
    assert call(process, BRK, begin + 100) == begin + 100
    assert call(process, BRK, begin + (1 << 40)) == begin + 100
    process.memory.write(begin, b"there")


def test_the_program_opens_and_reads_files_of_the_host(process: GuestProcess, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"contents")
    heap = call(process, BRK, 0)
    process.memory.write(heap, os.fsencode(file) + b"\0")
    number = call(process, OPENAT, (1 << 64) - 100, heap, os.O_RDONLY, 0)
    assert number == 3
    assert call(process, READ, number, heap + 512, 4) == 4
    assert process.memory.read(heap + 512, 4) == b"cont"
    assert call(process, CLOSE, number) == 0
    assert call(process, CLOSE, number) == -errno.EBADF
    assert call(process, READ, number, heap, 4) == -errno.EBADF
    process.memory.write(heap, b"/nowhere\0")
    assert call(process, OPEN, heap, os.O_RDONLY, 0) == -errno.ENOENT
    assert call(process, OPEN, 16, os.O_RDONLY, 0) == -errno.EFAULT


def test_bad_pointers_return_efault(process: GuestProcess) -> None:
    assert call(process, WRITE, 1, 16, 4) == -errno.EFAULT
    assert call(process, CLOCK, 1, 16) == -errno.EFAULT
    assert call(process, ARCH_PRCTL, 0x9999, 0) == -errno.EINVAL
    assert call(process, ARCH_PRCTL, 0x1002, 0x1234) == 0
    assert process.state["fs_base"] == 0x1234


# ---------------------------------------------------------------------------------------------------------- running


@pytest.mark.parametrize("name", ["getpid", "clock", "compute", "files"])
def test_a_program_runs_and_prints_its_time(name: str) -> None:
    done = run(name, "25")
    assert done.returncode == 0, done.stderr
    word, rounds, nanoseconds = done.stdout.split()
    assert (word, rounds) == ("worldswitch-program", "25")
    assert int(nanoseconds) > 0


def test_unimplemented_system_calls_are_reported() -> None:
    done = run("processes", "1")
    assert done.returncode == 1
    assert "unimplemented system calls: 56 (1 times)" in done.stderr


def test_a_file_that_cannot_be_run_is_status_126(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("#!/bin/sh\n" * 20)
    command = [sys.executable, "-P", "-m", "worldswitch.harness.guest_kernel", str(script)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 126
    assert done.stderr.startswith(f"guest_kernel: {script}: not a static 64-bit program: ")


def test_a_crash_is_128_plus_the_signal(process: GuestProcess) -> None:
    process.state.pc = 16
    assert process.run().status == 128 + 11


def test_an_unforeseen_exception_is_not_the_program_s_status(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(name: str) -> object:
        raise KeyError("a bug")

    monkeypatch.setattr(guest_program, "load_platform", broken)
    assert guest_program.main([str(GETPID), "1"]) == guest_program.CANNOT
    assert capsys.readouterr().err.startswith("guest_kernel: internal error: KeyError: 'a bug'; report this line")
