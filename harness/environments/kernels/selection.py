"""Which kernels, profiles and scenarios a matrix has: all of them, or the few that say most."""

from __future__ import annotations

import functools
from collections.abc import Sequence

from worldswitch.harness.environments.images.apt_mirror import Say
from worldswitch.harness.environments.kernels import fetch, known
from worldswitch.harness.environments.kernels.known import Entry
from worldswitch.harness.errors import Unobtainable

#: The profiles of a quick matrix: what people have, the least that does, and what must be said to be too little.
QUICK_PROFILES = ("docker-default", "hardened", "no-ptrace")


def names() -> tuple[str, ...]:
    """Every kernel of the list."""
    return tuple(entry.name for entry in known.load())


def quick(say: Say) -> tuple[str, ...]:
    """Three kernels: the oldest that can be had, of those maintained for years the middle one, and the newest."""
    entries = known.load()
    can_be_had = functools.cache(functools.partial(_can_be_had, say=say))
    orders = (entries, around_the_middle(entries), list(reversed(entries)))
    picked = (next(filter(can_be_had, map(_name, order)), order[0].name) for order in orders)
    return tuple(dict.fromkeys(picked))


def around_the_middle(entries: Sequence[Entry]) -> list[Entry]:
    """Those that are maintained for years, or all if none is, the middle one first and then those next to it."""
    long_term = [entry for entry in entries if entry.long_term] or list(entries)
    middle = len(long_term) // 2
    return sorted(long_term, key=lambda entry: abs(long_term.index(entry) - middle))


def _name(entry: Entry) -> str:
    return entry.name


def _can_be_had(name: str, say: Say) -> bool:
    try:
        fetch.obtain(name, say)
    except Unobtainable as problem:
        say(f"Linux {name} cannot be had: {problem.reason}")
        return False
    return True
