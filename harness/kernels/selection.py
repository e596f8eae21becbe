"""Which kernels, profiles and scenarios a matrix has: all of them, or the few that say most."""

from __future__ import annotations

from collections.abc import Sequence

from worldswitch.harness.holdings import Unobtainable
from worldswitch.harness.kernels import manifest, shelf
from worldswitch.harness.kernels.manifest import Entry
from worldswitch.harness.mirror import Say

#: The profiles of a quick matrix: what people have, the least that does, and what must be said to be too little.
QUICK_PROFILES = ("docker-default", "hardened", "no-ptrace")


def names() -> tuple[str, ...]:
    """Every kernel of the list."""
    return tuple(entry.name for entry in manifest.load())


def quick(say: Say) -> tuple[str, ...]:
    """Three kernels: the oldest, the middle one of the long-term ones, and the newest that can be had."""
    entries = manifest.load()
    picked = [entries[0].name, middle(entries).name, _newest(entries, say).name]
    return tuple(dict.fromkeys(picked))


def middle(entries: Sequence[Entry]) -> Entry:
    """The middle one of those that are maintained for years, or of all if none is."""
    long_term = [entry for entry in entries if entry.long_term] or list(entries)
    return long_term[len(long_term) // 2]


def _newest(entries: Sequence[Entry], say: Say) -> Entry:
    """The newest that can be had; if none can, the newest of the list, of which it is then said why."""
    for entry in reversed(entries):
        try:
            shelf.obtain(entry.name, say)
        except Unobtainable as problem:
            say(f"Linux {entry.name} cannot be had: {problem.reason}")
        else:
            return entry
    return entries[-1]
