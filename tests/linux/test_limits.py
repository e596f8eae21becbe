"""Which limit an exception means."""

from __future__ import annotations

import errno
import resource

import pytest

from worldswitch.harness.linux import limits


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.EMFILE, "Too many open files", "/x"), "/x: this process may not open more files: ulimit -n is"),
        (BlockingIOError(errno.EAGAIN, "again"), "no further process or thread could be started: ulimit -u is"),
        (RuntimeError("can't start new thread"), "no further process or thread could be started: ulimit -u is"),
        (MemoryError(), "there is no more memory: ulimit -v is"),
        (OSError(errno.ENOSPC, "full", "/y"), "/y: no space is left"),
    ],
)
def test_a_limit_is_named(error: Exception, said: str) -> None:
    assert limits.exhausted(error).startswith(said)


@pytest.mark.parametrize("error", [KeyError("x"), RuntimeError("y"), FileNotFoundError(errno.ENOENT, "none", "/z")])
def test_a_mistake_is_no_limit(error: Exception) -> None:
    assert limits.exhausted(error) == ""


def test_the_value_of_the_limit_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", {resource.RLIMIT_NOFILE: (30, 40)}.__getitem__)
    assert limits.exhausted(OSError(errno.EMFILE, "")) == "this process may not open more files: ulimit -n is 30"
