"""The kernel versions on the mirror, in order: the candidates of a bisection."""

from __future__ import annotations

from collections.abc import Sequence

from debian.debian_support import Version

from worldswitch.harness.environments.images import deb_packages
from worldswitch.harness.environments.kernels import fetch, known, names
from worldswitch.harness.environments.kernels.known import Entry
from worldswitch.harness.environments.protocol import Say
from worldswitch.harness.errors import CouldNotRun
from worldswitch.harness.linux.release import minor


def newest(entry: Entry, say: Say) -> str:
    """Return the newest version of an entry.  Raises `CouldNotRun` if the mirror has none."""
    found = _of(entry, say)
    if not found:
        raise CouldNotRun(
            f"the Debian mirror has no Linux {entry.name} in {', '.join(entry.suites)}; "
            "choose another end: `worldswitch kernels fetch` shows the available kernels"
        )
    return found[0]


def between(one: str, other: str, say: Say) -> list[str]:
    """Return every version from one kernel to another, ends included; descending if the first is the newer."""
    for name in (one, other):
        if fetch.is_file(name):
            raise CouldNotRun(
                f"{name} is a file: name two kernels of the list, since only those have versions between them"
            )
    names.check((one, other))
    if one == other:
        raise CouldNotRun(f"{one} is both ends; name two kernels, one good and one bad")
    ends = [_exact(name, say) for name in (one, other)]
    first, last = sorted(ends, key=Version)
    entries = [entry for entry in known.load() if minor(first) <= entry.minor <= minor(last)]
    every = {version for entry in entries for version in _of(entry, say)} | set(ends)
    found = sorted((one for one in every if Version(first) <= Version(one) <= Version(last)), key=Version)
    return found if ends[0] == first else found[::-1]


def _exact(name: str, say: Say) -> str:
    entry = fetch.entry_of(name)
    return newest(entry, say) if name == entry.name else name


def _of(entry: Entry, say: Say) -> Sequence[str]:
    """Return all versions of an entry, the newest first."""
    return [entry.version_of(offer.name) for offer in deb_packages.offers(entry.pattern, entry.suites, say)]
