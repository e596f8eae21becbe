"""The survivors that are explained, and the table of what became of the changes of each file."""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec
from bite.mutation import Mutation
from bite.results import Fate, Result

FOLDER = Path(__file__).parent
SURVIVORS, SUMMARY = FOLDER / "survivors.toml", FOLDER / "summary.json"

_UNNOTICED = (Fate.SURVIVED, Fate.UNDECIDED)

#: Why no test needs to notice a change; `open` ones need a claim that the suite does not make yet.
KINDS = ("equivalent", "performance", "elsewhere", "open")


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
    for change in (one for one, fate in fates.items() if fate is Fate.UNDECIDED and one.id not in known):
        print(f"not noticed by {found[change.id].tried} scenarios and tests, which are not all: {change}")
    stale = [one for one, fate in fates.items() if fate not in _UNNOTICED and one.id in known]
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


class Row(msgspec.Struct, frozen=True):
    """What became of the changes of one file."""

    file: str
    changes: int
    tried: int  #: of the file as it is now
    killed: int
    timeout: int
    crash: int
    undecided: int  #: noticed by none of those that were run, which were not all
    listed: dict[str, int]  #: survivors with a reason, by kind
    unlisted: int


def summarize(everything: Iterable[Mutation], found: Mapping[str, Result], marks: Mapping[str, str]) -> None:
    """Write the table for the documentation."""
    known, files = explained(), dict[str, list[Mutation]]()
    for change in everything:
        files.setdefault(change.file, []).append(change)
    rows = [_row(file, changes, found, marks[file], known) for file, changes in files.items()]
    SUMMARY.write_bytes(msgspec.json.format(msgspec.json.encode(rows), indent=1) + b"\n")


def _row(
    file: str,
    changes: list[Mutation],
    found: Mapping[str, Result],
    mark: str,
    known: Mapping[str, Mapping[str, str]],
) -> Row:
    tried = [found[one.id] for one in changes if one.id in found and found[one.id].mark == mark]
    fates = Counter(one.fate for one in tried)
    survivors = [one.id for one in tried if one.fate is Fate.SURVIVED]
    kinds = Counter(known[name]["kind"] for name in survivors if name in known)
    noticed = (fates[Fate.KILLED], fates[Fate.TIMEOUT], fates[Fate.CRASH])
    unlisted = len(survivors) - kinds.total()
    return Row(file, len(changes), len(tried), *noticed, fates[Fate.UNDECIDED], dict(kinds), unlisted)


def summary() -> list[Row]:
    """Return the table that was written last."""
    return msgspec.json.decode(SUMMARY.read_bytes(), type=list[Row])
