"""What is known beforehand of platforms that come with the package: which scenarios each of them fails, and why.

One file of `containers/expectations` a platform.  A platform without a file is expected to pass everything, and so is
one with a file whatever its lines do not name: a failure nobody foresaw and a pass nobody foresaw are both unexpected.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from worldswitch.harness.expectations import Expectation
from worldswitch.harness.profiles import Line, ProfileError, Sentence, folder


class Foreseen(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file of `containers/expectations`."""

    platform: Sentence
    about: Sentence
    expect: tuple[Line, ...] = ()


def expected_of(platform: str) -> tuple[Expectation, ...]:
    """What the scenarios come to on the platform of this name, where that is not a pass."""
    path = folder("expectations") / f"{platform}.toml"
    if not path.is_file():
        return ()
    lines = load(path).expect
    return tuple(line.expectation for line in lines)


def load(path: Path) -> Foreseen:
    """Read one file.  Raises `ProfileError`."""
    try:
        foreseen = msgspec.toml.decode(path.read_bytes(), type=Foreseen)
    except msgspec.DecodeError as problem:
        raise ProfileError(path, "", str(problem)) from problem
    if foreseen.platform != path.stem:
        raise ProfileError(path, "platform", f"says {foreseen.platform!r}, but a file bears its platform's name")
    return foreseen
