"""The probe of emulated kernels: no evidence on Linux, and each kind of evidence is found where it is made."""

from __future__ import annotations

import os
import platform
from errno import EINVAL, ENOSYS
from pathlib import Path
from types import SimpleNamespace

import pytest

from worldswitch.harness.cell.probes import emulation
from worldswitch.harness.linux import ptrace, syscalls

PRCTL = {"x86_64": 157, "aarch64": 167}[platform.machine()]


def test_linux_is_no_emulated_kernel() -> None:
    assert emulation.look() is None


def test_linux_knows_the_requests_of_platforms() -> None:
    assert not {"PTRACE_SEIZE", "PTRACE_GETREGSET", "PTRACE_SYSCALL", "PTRACE_DETACH"} & set(emulation.lacking())


def test_an_answer_that_no_kernel_gives_is_evidence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(emulation, "_filtered", lambda: False)
    monkeypatch.setattr(syscalls, "prctl", _refuse(EINVAL))
    found = emulation.look()
    assert found
    assert found.name == ""
    assert any(said.startswith("prctl(PR_GET_CHILD_SUBREAPER) answers EINVAL") for said in found.evidence)
    assert any("no child subreaper" in said for said in found.lost)


def test_an_answer_of_a_filter_is_no_evidence() -> None:
    """In a child, since the filter stays."""

    def look() -> str:
        ptrace.forbid(PRCTL, EINVAL)
        return repr(emulation.look())

    found = emulation.trying.probe(look)
    assert (found.state, found.detail) == ("yes", "None")


@pytest.mark.parametrize(("release", "is_evidence"), [("6.1.0", True), ("5.10.0-3", False)])
def test_a_call_that_the_claimed_release_lacks_is_no_evidence(
    release: str, is_evidence: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    promise = emulation._Promise("mount_setattr", (5, 12), _refuse(ENOSYS))
    monkeypatch.setattr(emulation, "_PROMISES", (promise,))
    monkeypatch.setattr(os, "uname", lambda: SimpleNamespace(release=release))
    monkeypatch.setattr(emulation, "_filtered", lambda: False)
    assert bool(list(emulation._impossible())) is is_evidence


@pytest.mark.parametrize(
    ("file", "text", "name"),
    [
        ("/proc/version", "Linux version 4.4.0 #1 SMP Sun Jan 10 15:06:54 PST 2016\n", "gVisor"),
        ("/proc/cpuinfo", "vendor_id\t: User Mode Linux\n", "User Mode Linux"),
    ],
)
def test_a_kernel_that_tells_its_name_is_named(
    file: str, text: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = emulation._text
    monkeypatch.setattr(emulation, "_text", lambda path: text if path == file else real(path))
    monkeypatch.setattr(emulation, "lacking", dict)
    found = emulation.look()
    assert found
    assert found.name == name
    assert str(found).startswith(f"an emulated kernel ({name}), not Linux {os.uname().release}: ")


def test_a_program_that_hides_behind_proc_self_exe_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    targets = {"/proc/thread-self/exe": "/usr/bin/qemu-x86_64-static", "/proc/self/exe": "/usr/bin/python3"}
    monkeypatch.setattr(os, "readlink", targets.__getitem__)
    assert [name for name, _ in emulation._names()] == ["qemu-user x86_64"]


def test_without_proc_nothing_is_claimed(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(path: Path, **_: str) -> str:
        raise FileNotFoundError(2, "No such file or directory", str(path))

    monkeypatch.setattr(Path, "read_text", missing)
    assert emulation.look() is None


def _refuse(number: int):
    def make(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    return make
