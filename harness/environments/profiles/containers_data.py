"""The data files of the package `worldswitch.containers`: profiles, seccomp filters, rules, lists; checks of TOML."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from importlib import resources
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import msgspec

from worldswitch.harness import decoding
from worldswitch.harness.linux import regular_file

Checked = TypeVar("Checked")

FieldProblem: TypeAlias = tuple[str, str]  #: a field and its problem

_NAMED = re.compile(r"(?:required|unknown) field `(.+?)`")


def folder(name: str = "") -> Path:
    """Return a folder of the package's data; without `name`, the top folder."""
    return Path(str(resources.files("worldswitch.containers"))) / name


class InvalidField(ValueError):
    """Raised by a struct that checks its own fields; carries the field and the problem."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.field = field
        self.problem = problem


def field_and_problem(message: str) -> FieldProblem:
    """Split a validation error into field and problem; msgspec names a missing or unknown field inside the text."""
    problem, _, path = message.partition(" - at `$")
    field = path.rstrip("`").lstrip(".")
    if named := _NAMED.search(problem):
        field = f"{field}.{named[1]}".lstrip(".")
    return field, problem[:1].lower() + problem[1:]


def read_toml(path: Path, kind: type[Checked], error: Callable[[str, str], Exception]) -> Checked:
    """Return the content of a file; raises what `error` returns for the field, empty if unknown, and the problem."""
    try:
        return decoding.from_toml(regular_file.read(path), kind)
    except OSError as problem:
        raise error("", f"cannot be read: {problem.strerror}") from problem
    except msgspec.ValidationError as problem:
        raise error(*_named(problem)) from problem
    except msgspec.DecodeError as problem:
        raise error("", f"not TOML: {problem}") from problem


def every_problem(table: Any, kind: type[msgspec.Struct], prefix: str = "") -> Iterator[FieldProblem]:
    """Yield each problem of a decoded table; msgspec alone reports the first."""
    fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    missing = [name for name, field in fields.items() if field.required and name not in table]
    unknown = [name for name in table if name not in fields]
    yield from ((f"{prefix}{name}", f"object missing required field `{name}`") for name in missing)
    yield from ((f"{prefix}{name}", f"object contains unknown field `{name}`") for name in unknown)
    wrong = [one for name, value in table.items() if name in fields for one in _of_field(value, fields[name], prefix)]
    yield from wrong
    if not (missing or unknown or wrong):
        yield from _of_value(table, kind, prefix.rstrip("."))


def _of_field(value: Any, field: msgspec.structs.FieldInfo, prefix: str) -> Iterator[FieldProblem]:
    name = f"{prefix}{field.encode_name}"
    if isinstance(value, dict) and isinstance(field.type, type) and issubclass(field.type, msgspec.Struct):
        yield from every_problem(value, field.type, f"{name}.")
    else:
        yield from _of_value(value, field.type, name)


def _of_value(value: Any, kind: Any, name: str) -> Iterator[FieldProblem]:
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError as problem:
        field, text = _named(problem)
        yield f"{name}{'' if field.startswith('[') or not (field and name) else '.'}{field}", text


def _named(problem: msgspec.ValidationError) -> FieldProblem:
    if isinstance(cause := problem.__cause__, InvalidField):
        return cause.field, cause.problem
    return field_and_problem(str(problem))
