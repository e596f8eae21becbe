"""Combines several mutants into one platform that has the faults of all.

Mutants override methods and call `super()`, so a class that inherits from several has all their faults.  If two of them
override one method without `super()`, the first one counts.  The classes of a platform's parts (`stub_class`, its
`tracee_class`, and so on) are combined the same way.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from worldswitch.reference.ptrace import PtracePlatform
from worldswitch.reference.stubprocess import StubProcess

PARTS = (
    "stub_class",
    "context_class",
    "address_space_class",
    "creator_class",
    "stub_creation_class",
    "pool_class",
    "housekeeping_class",
)


def composed(name: str, about: str, mutants: Sequence[type[PtracePlatform]]) -> type[PtracePlatform]:
    """A platform called `name` with the faults of all `mutants`."""
    bases = _most_derived(mutants)
    parts = {part: _part(name, part, [getattr(one, part) for one in bases]) for part in PARTS}
    return type(name, bases, {"__doc__": about, "__module__": __name__, **parts})


def _part(name: str, part: str, classes: Sequence[type]) -> type:
    bases = _most_derived(classes)
    own: dict[str, Any] = {}
    if issubclass(bases[0], StubProcess):
        own["tracee_class"] = _part(name, "tracee_class", [getattr(one, "tracee_class") for one in bases])  # noqa: B009
    word = part.removesuffix("_class").title().replace("_", "")
    return type(f"{name}{word}", bases, own)


def _most_derived(classes: Sequence[type]) -> tuple[type, ...]:
    """Each once, and none that another inherits from: Python refuses a base before what derives from it."""
    once = list(dict.fromkeys(classes))
    return tuple(one for one in once if not any(one is not other and issubclass(other, one) for other in once))
