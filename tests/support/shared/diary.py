"""Each trial writes a line as it begins and one as it ends."""

from __future__ import annotations

import os
import time

import pytest

from worldswitch.scenarios.declare import scenario


def _write(line: str) -> None:
    descriptor = os.open(os.environ["DIARY"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, f"{line}\n".encode())
    os.close(descriptor)


def _log_both(name: str) -> None:
    _write(f"+{name}")
    time.sleep(0.15)
    _write(f"-{name}")


@scenario("SH01", clauses=())
@pytest.mark.parametrize("number", range(6))
def one_of_many(trial: object, number: int) -> None:
    """It may run with others."""
    _log_both(f"many{number}")


@scenario("SH02", clauses=(), alone=True)
@pytest.mark.parametrize("number", range(3))
def one_alone(trial: object, number: int) -> None:
    """It must run alone."""
    _log_both(f"alone{number}")
