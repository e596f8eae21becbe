"""Who was there, and when: a line as each begins and one as it ends."""

from __future__ import annotations

import os
import time

import pytest

from worldswitch.scenarios.declare import scenario


def _write(line: str) -> None:
    descriptor = os.open(os.environ["DIARY"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, f"{line}\n".encode())
    os.close(descriptor)


def _be(name: str) -> None:
    _write(f"+{name}")
    time.sleep(0.15)
    _write(f"-{name}")


@scenario("SH01", clauses=())
@pytest.mark.parametrize("number", range(6))
def one_of_many(trial: object, number: int) -> None:
    """Does not mind company."""
    _be(f"many{number}")


@scenario("SH02", clauses=(), alone=True)
@pytest.mark.parametrize("number", range(3))
def one_alone(trial: object, number: int) -> None:
    """Does."""
    _be(f"alone{number}")
