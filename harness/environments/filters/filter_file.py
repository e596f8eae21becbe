"""Reads and checks the filters of a file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from worldswitch.harness.environments.filters import formats, json_text, meaning, overlaps, sources
from worldswitch.harness.environments.filters.findings import Finding, Place, Severity
from worldswitch.harness.environments.filters.resolution import SeccompTarget, resolve
from worldswitch.harness.environments.filters.sources import Source
from worldswitch.harness.linux import regular_file

Filter: TypeAlias = dict[str, Any]  #: a checked filter in one form: `names`, numeric errnos, no empty fields


@dataclass(frozen=True, slots=True)
class CheckedFilter:
    """One filter of a file."""

    name: str  #: of its manifest; empty for a filter that is the file
    content: Filter
    text: str  #: what an engine is given: the file itself if it can read that
    findings: tuple[Finding, ...]  #: of the filter, without those of the file around it

    @property
    def errors(self) -> list[Finding]:
        """The findings for which an engine or runtime refuses it."""
        return [one for one in self.findings if one.severity is Severity.ERROR]


def read(path: Path) -> tuple[list[CheckedFilter], list[Finding]]:
    """Return the filters of a file, and the findings about the file around them.  Raises OSError."""
    return of_content(regular_file.read(path), path.suffix.lower())


def of_content(content: bytes, suffix: str) -> tuple[list[CheckedFilter], list[Finding]]:
    """Return the filters of a file's content; the suffix tells its format."""
    place = Place()
    found = sources.find(content, suffix, place)
    around = list(place.findings)
    return [_checked(one, content) for one in found], around


def parsed(text: str) -> Filter:
    """Return a filter whose text was checked before."""
    decoded = formats.ENGINE(json_text.decode(text, Place()) or {}, Place())
    return meaning.checked(decoded, Place())


def _checked(source: Source, content: bytes) -> CheckedFilter:
    place = Place(source.place.field)
    decoded = {} if source.content is None else source.form(source.content, place)
    made = meaning.checked(decoded, place) if decoded is not None else {"syscalls": []}
    if not any(one.severity is Severity.ERROR for one in place.findings):
        place.findings.extend(_overlaps(made, place.into("syscalls").field))
    text = content.decode(errors="replace") if source.verbatim else json.dumps(made)
    return CheckedFilter(source.name, made, text, tuple(place.findings))


def _overlaps(content: Filter, field: str) -> Iterator[Finding]:
    """Yield those without capabilities, and as notes those with capabilities that the rules name."""
    named = {
        name
        for rule in content["syscalls"]
        for condition in ("includes", "excludes")
        for name in rule.get(condition, {}).get("caps", ())
    }
    machine = SeccompTarget.here()
    plain = list(overlaps.find(resolve(content, (), machine), field))
    yield from plain
    told = {one.text for one in plain}
    for granted in (*({name} for name in sorted(named)), named):
        for one in overlaps.find(resolve(content, granted, machine), field):
            if one.text not in told and one.severity is not Severity.NOTE:
                told.add(one.text)
                yield Finding(Severity.NOTE, field, f"with {' '.join(sorted(granted))}: {one.text}")
