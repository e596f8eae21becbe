"""Whether a platform has changed functions that decide its verdict, in the process that it shares with them.

It is no wall: code in the same process can undo what it did, or change this module.  It finds a platform that patches
the clock or the harness for its own purposes, whose verdicts would mean nothing.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any, TypeAlias

#: The modules that decide: the harness itself, and the parts of pytest that run and judge an item.
_DECIDE = (
    "worldswitch.harness",
    "_pytest.runner",
    "_pytest.python",
    "_pytest.outcomes",
    "_pytest.raises",
    "_pytest.reports",
)

_Parts: TypeAlias = dict[tuple[str, str], tuple[object, ...]]


def parts() -> _Parts:
    """Return the functions and classes that decide, each with what makes it up."""
    found: _Parts = {("time", name): (getattr(time, name),) for name in ("monotonic", "monotonic_ns", "sleep")}
    for name, module in list(sys.modules.items()):
        if name.startswith(_DECIDE):
            found.update(_of(name, module))
    return found


def changed(before: _Parts) -> str:
    """Return the first function or class in `before` that is not as it was; empty if all are."""
    for (owner, name), parts in before.items():
        module = sys.modules.get(owner.partition(":")[0])
        holder = _holder(module, owner.partition(":")[2])
        if not _same(parts, _made_of(vars(holder).get(name)) if holder is not None else ()):
            return f"{owner.replace(':', '.')}.{name}"
    return ""


def _of(name: str, module: ModuleType) -> Iterator[tuple[tuple[str, str], tuple[object, ...]]]:
    for attribute, value in list(vars(module).items()):
        if isinstance(value, FunctionType | BuiltinFunctionType | type):
            yield (name, attribute), _made_of(value)
        if isinstance(value, type) and value.__module__ == name:
            yield from _methods(f"{name}:{attribute}", vars(value))


def _methods(owner: str, members: Mapping[str, Any]) -> Iterator[tuple[tuple[str, str], tuple[object, ...]]]:
    for attribute, value in members.items():
        if isinstance(value, FunctionType):
            yield (owner, attribute), _made_of(value)


def _holder(module: ModuleType | None, name: str) -> Any:
    return module if module is None or not name else vars(module).get(name)


def _made_of(value: object) -> tuple[object, ...]:
    return (value, value.__code__, value.__defaults__) if isinstance(value, FunctionType) else (value,)


def _same(before: tuple[object, ...], now: tuple[object, ...]) -> bool:
    return len(before) == len(now) and all(one is other for one, other in zip(before, now, strict=True))
