"""The data files of the package `worldswitch.containers`: profiles, seccomp filters, rules, lists; checks of TOML."""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import TypeVar

import msgspec

Checked = TypeVar("Checked")

_NAMED = re.compile(r"(?:required|unknown) field `(.+?)`")


def folder(name: str = "") -> Path:
    """Return a folder of the package's data; without `name`, the top folder."""
    return Path(str(resources.files("worldswitch.containers"))) / name


def field_and_problem(message: str) -> tuple[str, str]:
    """Split a validation error into field and problem; msgspec names a missing or unknown field inside the text."""
    problem, _, path = message.partition(" - at `$")
    field = path.rstrip("`").lstrip(".")
    if named := _NAMED.search(problem):
        field = f"{field}.{named[1]}".lstrip(".")
    return field, problem[:1].lower() + problem[1:]


def read_toml(path: Path, kind: type[Checked], error: Callable[[str, str], Exception]) -> Checked:
    """Return the content of a file; raises what `error` returns for the field, empty if unknown, and the problem."""
    try:
        return msgspec.toml.decode(path.read_bytes(), type=kind)
    except OSError as problem:
        raise error("", f"cannot be read: {problem.strerror}") from problem
    except msgspec.ValidationError as problem:
        raise error(*field_and_problem(str(problem))) from problem
    except (msgspec.DecodeError, UnicodeDecodeError) as problem:
        raise error("", f"not TOML: {problem}") from problem
