"""The survivors that are explained, and the table of what became of the changes of each file."""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from bite.mutation import Mutation
from bite.results import Fate, Result

FOLDER = Path(__file__).parent
SURVIVORS, SUMMARY = FOLDER / "survivors.toml", FOLDER / "summary.json"

#: Why no test needs to notice a change.
KINDS = ("equivalent", "performance", "elsewhere")


def explained() -> dict[str, dict[str, str]]:
    """Return the listed survivors, by id.  Raises `ValueError` if one lacks a reason."""
    entries = tomllib.loads(SURVIVORS.read_text()).get("survivor", []) if SURVIVORS.exists() else []
    for entry in entries:
        if entry.get("kind") not in KINDS or not entry.get("reason"):
            raise ValueError(f"{SURVIVORS.name}: {entry.get('id')} needs a reason, and a kind: {', '.join(KINDS)}")
    return {entry["id"]: entry for entry in entries}


def report(
    everything: Iterable[Mutation], changes: Iterable[Mutation], found: Mapping[str, Result], marks: Mapping[str, str]
) -> int:
    """Print what survived and is not listed, what is listed in vain, and the counts; return the exit status."""
    known = explained()
    fates = {one: found[one.id].fate for one in changes if one.id in found and found[one.id].mark == marks[one.file]}
    unlisted = [one for one, fate in fates.items() if fate is Fate.SURVIVED and one.id not in known]
    for change in unlisted:
        print(f"survived: {change}\n  again: nox -s bite -- --again all --only {change.id}")
    stale = [one for one, fate in fates.items() if fate is not Fate.SURVIVED and one.id in known]
    for change in stale:
        print(f"listed in survivors.toml, but noticed by {found[change.id].by}: {change}")
    gone = known.keys() - {one.id for one in everything}
    for name in sorted(gone):
        print(f"listed in survivors.toml, but there is no such change: {name} in {known[name]['function']}")
    counts = ", ".join(f"{number} {fate}" for fate, number in sorted(Counter(fates.values()).items()))
    print(
        f"{counts}; {len(unlisted)} survivors are not listed, {len(stale) + len(gone)} lines of the list do not apply"
    )
    return int(bool(unlisted or stale or gone))
