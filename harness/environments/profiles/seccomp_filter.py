"""The filter of a profile: one checked filter of a file, or an error that lists every problem."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from worldswitch.harness.environments.filters import filter_file
from worldswitch.harness.environments.filters.filter_file import CheckedFilter, Filter
from worldswitch.harness.environments.filters.findings import Finding, Severity
from worldswitch.harness.environments.filters.sources import SUFFIXES as SUFFIXES  # re-exported
from worldswitch.harness.errors import CouldNotRun


class ProfileError(CouldNotRun, ValueError):
    """A profile or filter is invalid; each line of the message names the file, the field and a problem."""

    def __init__(self, path: Path | str, field: str, problem: str, others: Iterable[Finding] = ()) -> None:
        self.path = path
        self.field = field
        self.findings = (Finding(Severity.ERROR, field, problem), *others)
        super().__init__("\n".join(f"{path}: {one}" for one in self.findings))


def load(path: Path) -> Filter:
    """Read and check a filter.  Raises `ProfileError`."""
    return load_checked(path).content


def load_checked(path: Path) -> CheckedFilter:
    """Read and check a filter, and keep its text and findings.  Raises `ProfileError`."""
    try:
        found, around = filter_file.read(path)
    except OSError as problem:
        raise ProfileError(path, "", f"cannot be read: {problem.strerror}") from problem
    errors = [one for one in around if one.severity is Severity.ERROR]
    errors += [one for checked in found for one in checked.errors]
    if errors:
        raise ProfileError(path, errors[0].field, errors[0].text, errors[1:])
    if len(found) != 1:
        names = ", ".join(one.name for one in found)
        raise ProfileError(path, "", f"has {len(found)} filters, {names}: put the one to use into a file of its own")
    return found[0]
