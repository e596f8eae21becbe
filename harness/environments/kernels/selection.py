"""The kernels and profiles of a matrix: all, or a quick selection."""

from __future__ import annotations

import functools
from collections.abc import Sequence

from worldswitch.harness.environments.kernels import fetch, known
from worldswitch.harness.environments.kernels.known import Entry
from worldswitch.harness.environments.protocol import Say
from worldswitch.harness.errors import Unobtainable

#: The profiles of a quick matrix: the usual default, the minimum that works, and one that must be blocked.
QUICK_PROFILES = ("docker-default", "hardened", "no-ptrace")


def names() -> tuple[str, ...]:
    """Return the names of all kernels of the list."""
    return tuple(entry.name for entry in known.load())


def quick(say: Say, *, check: bool = True) -> tuple[str, ...]:
    """Return the oldest available kernel, the middle one of the long-term kernels, and the newest.

    Without `check` all count as available, and nothing is fetched.
    """
    entries = known.load()
    available = functools.cache(functools.partial(_is_available, say=say) if check else lambda _: True)
    orders = (entries, around_the_middle(entries), list(reversed(entries)))
    picked = (next(filter(available, (entry.name for entry in order)), order[0].name) for order in orders)
    return tuple(dict.fromkeys(picked))


def around_the_middle(entries: Sequence[Entry]) -> list[Entry]:
    """Return the long-term kernels, or all if there are none, ordered by distance from the middle."""
    long_term = [entry for entry in entries if entry.long_term] or list(entries)
    middle = len(long_term) // 2
    return sorted(long_term, key=lambda entry: abs(long_term.index(entry) - middle))


def _is_available(name: str, say: Say) -> bool:
    try:
        fetch.obtain(name, say)
    except Unobtainable as problem:
        say(f"Linux {name} is unavailable: {problem.reason}")
        return False
    return True
