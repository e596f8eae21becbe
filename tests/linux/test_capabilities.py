"""Capabilities are read as engines read them, and a process knows which it lacks."""

from __future__ import annotations

from pathlib import Path

import pytest

from worldswitch.harness.linux import capabilities


@pytest.mark.parametrize(
    ("written", "read"),
    [("SYS_PTRACE", "SYS_PTRACE"), ("CAP_SYS_PTRACE", "SYS_PTRACE"), ("cap_kill", "KILL"), ("all", "ALL")],
)
def test_names_have_no_case_and_no_need_of_a_prefix(written: str, read: str) -> None:
    assert capabilities.normal(written) == read


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("SYS_PTRACES", "'SYS_PTRACES' is no capability; did you mean SYS_PTRACE?"),
        ("CAP_CAP_NET_RAW", "'CAP_CAP_NET_RAW' is no capability; did you mean NET_RAW?"),
        ("ptrace", "'ptrace' is no capability; did you mean SYS_PTRACE?"),
        ("", "'' is no capability"),
    ],
)
def test_an_unknown_name_is_an_error_with_the_nearest(name: str, message: str) -> None:
    with pytest.raises(ValueError, match="is no capability") as caught:
        capabilities.normal(name)
    assert str(caught.value) == message


def test_the_numbers_are_the_kernel_s() -> None:
    assert [capabilities.EVERY.index(f"CAP_{name}") for name in ("CHOWN", "KILL", "SYS_PTRACE", "BPF")] == [
        0,
        5,
        19,
        39,
    ]


def test_what_a_process_lacks_is_read_from_its_status(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    status = tmp_path / "status"
    monkeypatch.setattr(capabilities, "STATUS", status)
    monkeypatch.setattr(capabilities, "LAST", tmp_path / "cap_last_cap")
    assert capabilities.lacking(["SYS_PTRACE"]) == []  # not to be seen
    status.write_text("Name:\tx\nCapPrm:\t0000000000000000\nCapEff:\t0000000000080020\n")
    assert capabilities.lacking([]) == []
    assert capabilities.lacking(["SYS_PTRACE", "KILL", "CHOWN"]) == ["CAP_CHOWN"]
    (tmp_path / "cap_last_cap").write_text("5\n")
    assert capabilities.lacking(["ALL"]) == list(capabilities.EVERY[:5])
