"""The variants of a scenario: one for each set of parameters that `pytest.mark.parametrize` gives it.

A name with a variant, ``doors::a_thread[resident]``, is that of a trial, and pytest's own id of the item.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any


def of(function: Any) -> tuple[str, ...]:
    """Return what pytest appends to the function's name for each of its items; an empty string without parameters."""
    marks = [mark for mark in getattr(function, "pytestmark", ()) if mark.name == "parametrize"]
    if not marks:
        return ("",)
    # As pytest does: the mark next to the function comes first, and varies most slowly.
    axes = [_ids(*mark.args, **mark.kwargs) for mark in marks]
    return tuple(f"[{'-'.join(one)}]" for one in itertools.product(*axes))


def _ids(names: str | Sequence[str], values: Sequence[Any], ids: Any = None, **_: Any) -> list[str]:
    """Return the id of each set of values, as pytest makes it of plain values."""
    arguments = [one.strip() for one in names.split(",")] if isinstance(names, str) else list(names)
    return [_id(arguments, value, ids, index) for index, value in enumerate(values)]


def _id(arguments: Sequence[str], value: Any, ids: Any, index: int) -> str:
    if named := getattr(value, "id", None):  # pytest.param
        return str(named)
    if isinstance(ids, Sequence):
        return str(ids[index])
    inner = getattr(value, "values", None)
    parts = inner if isinstance(inner, tuple) else (value,) if len(arguments) == 1 else value
    return "-".join(_word(name, part, ids, index) for name, part in zip(arguments, parts, strict=True))


def _word(name: str, value: Any, ids: Any, index: int) -> str:
    made = ids(value) if callable(ids) else None
    made = value if made is None else made
    if isinstance(made, str | int | float | bool | None):
        return str(made)
    own = getattr(made, "__name__", None)
    return own if isinstance(own, str) else f"{name}{index}"
