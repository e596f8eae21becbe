"""What a guest's kernel logged, held against what it must not say (`containers/kernel_log.toml`)."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from worldswitch.harness.cell.records import Complaint
from worldswitch.harness.environments.profiles.containers_data import folder

#: Level and time, as the guest's own words and the console have them before a line.
_HEAD = re.compile(r"^(?:[0-7] \d+\.\d+ |\[ *\d+\.\d+\](?:\[ *[TC]\d+\])? )")

#: Flags of /proc/sys/kernel/tainted that nothing but a mistake of the kernel's sets (tainted-kernels.rst): bad page,
#: died, warned, soft lock-up.  Others say what was loaded, or what somebody did.
TAINTS = {5: "found a bad page", 7: "died once", 9: "warned", 14: "was stuck once"}


class KernelLogError(ValueError):
    """A list of patterns that cannot be used: which file, and why."""


class Deny(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A line that no kernel should log."""

    pattern: Annotated[str, Meta(min_length=1)]
    meaning: Annotated[str, Meta(min_length=1)]


class Allow(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A line that is right all the same."""

    pattern: Annotated[str, Meta(min_length=1)]
    reason: Annotated[str, Meta(min_length=1)]


class LogRules(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file."""

    deny: Annotated[tuple[Deny, ...], Meta(min_length=1)]
    allow: tuple[Allow, ...] = ()

    def complaints(self, lines: Iterable[str], taint: tuple[int, int] = (0, 0)) -> Iterator[Complaint]:
        """Yield what is wrong with a log, and with the kernel's taint before and after it."""
        for line in lines:
            text = _HEAD.sub("", line)
            if any(re.search(rule.pattern, text) for rule in self.allow):
                continue
            if rule := next((rule for rule in self.deny if re.search(rule.pattern, text)), None):
                yield Complaint(meaning=rule.meaning, line=line)
        yield from (
            Complaint(meaning=f"since then it says of itself that it {said}", line=f"tainted: {taint[0]} -> {taint[1]}")
            for bit, said in TAINTS.items()
            if (taint[1] & ~taint[0]) >> bit & 1
        )


def load(path: Path) -> LogRules:
    """Read a file of patterns; raises `KernelLogError`."""
    try:
        rules = msgspec.toml.decode(path.read_bytes(), type=LogRules)
    except OSError as problem:
        raise KernelLogError(f"{path}: cannot be read: {problem.strerror}") from problem
    except (msgspec.DecodeError, UnicodeDecodeError) as problem:
        raise KernelLogError(f"{path}: {problem}") from problem
    for pattern in [*(rule.pattern for rule in rules.deny), *(rule.pattern for rule in rules.allow)]:
        try:
            re.compile(pattern)
        except re.error as problem:
            raise KernelLogError(f"{path}: pattern {pattern!r}: {problem}") from problem
    return rules


@functools.cache
def shipped() -> LogRules:
    """The patterns that come with the package."""
    return load(folder() / "kernel_log.toml")
