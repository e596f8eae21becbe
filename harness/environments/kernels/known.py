"""The list of kernels: `containers/kernels.toml`, or the file that ``WORLDSWITCH_KERNELS`` names.

Errors name the file, the entry and the field.
"""

from __future__ import annotations

import itertools
import os
import re
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Annotated

import msgspec
from msgspec import Meta

from worldswitch.harness.environments.profiles.containers_data import folder, read_toml
from worldswitch.harness.errors import CouldNotRun
from worldswitch.harness.linux.release import Numbers, minor

LIST = "WORLDSWITCH_KERNELS"  #: path of a list that replaces the shipped one
VERSION = "VERSION"  #: placeholder for the kernel's version in a package's name

_ENTRY = re.compile(r"kernel\[(\d+)\]\.?(\w*)")


class ManifestError(CouldNotRun):
    """A list of kernels is invalid; names the file, the entry, the field and the problem."""

    def __init__(self, path: Path, entry: str, field: str, problem: str) -> None:
        super().__init__(": ".join(word for word in (str(path), entry, field, problem) if word))


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A kernel of the list; the shipped file documents the fields."""

    name: Annotated[str, Meta(pattern=r"^[0-9]+\.[0-9]+$")]
    package: Annotated[str, Meta(pattern=r"^[a-z0-9][A-Za-z0-9.+*-]+$")]
    suites: Annotated[tuple[Annotated[str, Meta(pattern="^[a-z][a-z0-9-]*$")], ...], Meta(min_length=1)]
    layout: Annotated[str, Meta(min_length=1)]
    long_term: bool = False

    @property
    def minor(self) -> Numbers:
        """The version as numbers."""
        return minor(self.name)

    @property
    def pattern(self) -> str:
        """A shell pattern that matches the package of every version of this kernel."""
        return self.package.replace(VERSION, f"{self.name}.*")

    def version_of(self, package: str) -> str:
        """Return the kernel's version from the name of a package that matches `pattern`."""
        before, _, after = self.package.partition(VERSION)
        return package.removeprefix(before).removesuffix(after)


class _File(msgspec.Struct, forbid_unknown_fields=True):
    kernel: Annotated[tuple[Entry, ...], Meta(min_length=1)]


def load(path: Path | None = None) -> tuple[Entry, ...]:
    """Return the entries of a list, oldest first; without `path`, of the list in use.  Raises `ManifestError`."""
    path = path or Path(os.environ.get(LIST) or folder() / "kernels.toml")
    entries = read_toml(path, _File, partial(_invalid, path)).kernel
    for entry in entries:
        _check(path, entry)
    _check_order(path, entries)
    return entries


def _check(path: Path, entry: Entry) -> None:
    if entry.package.count(VERSION) != 1:
        raise ManifestError(path, entry.name, "package", f"{entry.package!r} must contain {VERSION} once")
    if len(set(entry.suites)) != len(entry.suites):
        raise ManifestError(path, entry.name, "suites", "contains a suite twice")
    layout = PurePosixPath(entry.layout)
    if layout.is_absolute() or ".." in layout.parts:
        raise ManifestError(path, entry.name, "layout", f"{entry.layout!r} must be a relative path inside the package")


def _check_order(path: Path, entries: tuple[Entry, ...]) -> None:
    for before, entry in itertools.pairwise(entries):
        if entry.minor == before.minor:
            raise ManifestError(path, entry.name, "name", "two entries have this name")
        if entry.minor < before.minor:
            raise ManifestError(path, entry.name, "name", f"follows {before.name}; the oldest must come first")


def _invalid(path: Path, field: str, problem: str) -> ManifestError:
    """Return the error; msgspec counts entries from 0, the message from 1."""
    if entry := _ENTRY.match(field):
        return ManifestError(path, f"entry {int(entry[1]) + 1}", entry[2], problem)
    return ManifestError(path, "", field, problem)
