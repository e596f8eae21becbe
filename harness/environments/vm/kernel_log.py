"""Check the log of a guest's kernel against the patterns in `containers/kernel_log.toml`."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from worldswitch.harness.cell.records import Complaint
from worldswitch.harness.environments.profiles.containers_data import folder, read_toml

#: Level and time before a line, in the guest's messages and on the console.
_HEAD = re.compile(r"^(?:[0-7] \d+\.\d+ |\[ *\d+\.\d+\](?:\[ *[TC]\d+\])? )")

#: Flags of /proc/sys/kernel/tainted that only a kernel bug sets (tainted-kernels.rst): bad page, died, warned, soft
#: lock-up.  The others report loaded modules or actions of a user.
TAINTS = {5: "found a bad page", 7: "died once", 9: "warned", 14: "was stuck once"}


class KernelLogError(ValueError):
    """A file of patterns is invalid; names the file and the problem."""


class Deny(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A pattern of lines that report a kernel bug."""

    pattern: Annotated[str, Meta(min_length=1)]
    meaning: Annotated[str, Meta(min_length=1)]


class Allow(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A pattern of lines that are exempt from `Deny`."""

    pattern: Annotated[str, Meta(min_length=1)]
    reason: Annotated[str, Meta(min_length=1)]


class LogRules(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file of patterns."""

    deny: Annotated[tuple[Deny, ...], Meta(min_length=1)]
    allow: tuple[Allow, ...] = ()

    def complaints(self, lines: Iterable[str], taint: tuple[int, int] = (0, 0)) -> Iterator[Complaint]:
        """Yield the complaints about a log and about taint flags (before, after)."""
        for line in lines:
            text = _HEAD.sub("", line)
            if any(re.search(rule.pattern, text) for rule in self.allow):
                continue
            if rule := next((rule for rule in self.deny if re.search(rule.pattern, text)), None):
                yield Complaint(meaning=rule.meaning, line=line)
        yield from (
            Complaint(meaning=f"the taint flags say that the kernel {event}", line=f"tainted: {taint[0]} -> {taint[1]}")
            for bit, event in TAINTS.items()
            if (taint[1] & ~taint[0]) >> bit & 1
        )


def load(path: Path) -> LogRules:
    """Read and check a file of patterns.  Raises `KernelLogError`."""
    rules = read_toml(path, LogRules, lambda *words: KernelLogError(": ".join(filter(None, (str(path), *words)))))
    for pattern in [*(rule.pattern for rule in rules.deny), *(rule.pattern for rule in rules.allow)]:
        try:
            re.compile(pattern)
        except re.error as problem:
            raise KernelLogError(f"{path}: pattern {pattern!r}: {problem}") from problem
    return rules


@functools.cache
def shipped() -> LogRules:
    """Return the shipped patterns."""
    return load(folder() / "kernel_log.toml")
