"""Which kernels there are: the entries of `containers/kernels.toml`, or of the file that ``WORLDSWITCH_KERNELS`` names.

What is wrong with such a file is said with its name, the entry's, the field's and the reason.
"""

from __future__ import annotations

import itertools
import os
import re
from pathlib import Path, PurePosixPath
from typing import Annotated

import msgspec
from msgspec import Meta

from worldswitch.harness.environments.profiles.containers_data import folder
from worldswitch.harness.environments.validation import field_and_problem
from worldswitch.harness.errors import CouldNotRun
from worldswitch.harness.linux.release import Numbers, minor

LIST = "WORLDSWITCH_KERNELS"  #: names a list to use in place of the package's own
VERSION = "VERSION"  #: stands in a package's name for the kernel's own version

_ENTRY = re.compile(r"kernel\[(\d+)\]\.?(\w*)")


class ManifestError(CouldNotRun):
    """A list of kernels that cannot be used: which file, which entry, which field, and why."""

    def __init__(self, path: Path, entry: str, field: str, problem: str) -> None:
        super().__init__(": ".join(word for word in (str(path), entry, field, problem) if word))


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One kernel of the list; the file says what each field means."""

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
        """A shell pattern for the package's name in any version of this kernel."""
        return self.package.replace(VERSION, f"{self.name}.*")

    def version_of(self, package: str) -> str:
        """The kernel's own version, from the name of a package that matches."""
        before, _, after = self.package.partition(VERSION)
        return package.removeprefix(before).removesuffix(after)


class _File(msgspec.Struct, forbid_unknown_fields=True):
    kernel: Annotated[tuple[Entry, ...], Meta(min_length=1)]


def place() -> Path:
    """The list that is used: the package's own, unless the user names another."""
    shipped = folder() / "kernels.toml"
    return Path(os.environ.get(LIST) or shipped)


def load(path: Path | None = None) -> tuple[Entry, ...]:
    """The entries of a list, oldest first; the package's own unless another is named.  Raises `ManifestError`."""
    path = path or place()
    try:
        entries = msgspec.toml.decode(path.read_bytes(), type=_File).kernel
    except OSError as problem:
        raise ManifestError(path, "", "", f"cannot be read: {problem.strerror}") from problem
    except msgspec.ValidationError as problem:
        raise _invalid(path, str(problem)) from problem
    except (msgspec.DecodeError, UnicodeDecodeError) as problem:
        raise ManifestError(path, "", "", f"not TOML: {problem}") from problem
    for entry in entries:
        _check(path, entry)
    _check_order(path, entries)
    return entries


def _check(path: Path, entry: Entry) -> None:
    if entry.package.count(VERSION) != 1:
        raise ManifestError(path, entry.name, "package", f"{entry.package!r} must have {VERSION} in it, once")
    if len(set(entry.suites)) != len(entry.suites):
        raise ManifestError(path, entry.name, "suites", "names a suite twice")
    place = PurePosixPath(entry.layout)
    if place.is_absolute() or ".." in place.parts:
        raise ManifestError(path, entry.name, "layout", f"{entry.layout!r} must be a path within the package")


def _check_order(path: Path, entries: tuple[Entry, ...]) -> None:
    for before, entry in itertools.pairwise(entries):
        if entry.minor == before.minor:
            raise ManifestError(path, entry.name, "name", "there are two entries of this name")
        if entry.minor < before.minor:
            raise ManifestError(path, entry.name, "name", f"stands behind {before.name}; the oldest comes first")


def _invalid(path: Path, message: str) -> ManifestError:
    """What msgspec says, by entry and field: it counts entries from 0, and people from 1."""
    field, problem = field_and_problem(message)
    if entry := _ENTRY.match(field):
        return ManifestError(path, f"entry {int(entry[1]) + 1}", entry[2], problem)
    return ManifestError(path, "", field, problem)
