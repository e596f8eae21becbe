"""Capabilities are read as engines read them; an unknown one is told with the nearest name."""

from __future__ import annotations

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
