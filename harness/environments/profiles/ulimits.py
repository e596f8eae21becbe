"""A profile's limits on the resources of each process (getrlimit(2))."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, TypeAlias

import msgspec
from msgspec import Meta

#: Every container's: no core files.
STANDARD = {"core": (0, 0)}

#: One number, or ``SOFT:HARD``; -1 and `unlimited` mean no limit.
Ulimit: TypeAlias = (
    Annotated[int, Meta(ge=-1)] | Annotated[str, Meta(pattern=r"^([0-9]+|unlimited)(:([0-9]+|unlimited))?$")] | None
)
UNLIMITED = -1


class Ulimits(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Limits by their names in engines; those that are None are the engine's."""

    core: Ulimit = None
    cpu: Ulimit = None
    data: Ulimit = None
    fsize: Ulimit = None
    locks: Ulimit = None
    memlock: Ulimit = None
    msgqueue: Ulimit = None
    nice: Ulimit = None
    nofile: Ulimit = None
    nproc: Ulimit = None
    rss: Ulimit = None
    rtprio: Ulimit = None
    rttime: Ulimit = None
    sigpending: Ulimit = None
    stack: Ulimit = None

    def __post_init__(self) -> None:
        """Raise ValueError for a soft limit above the hard one."""
        for name, soft, hard in self.pairs():
            if hard != UNLIMITED and not 0 <= soft <= hard:
                raise ValueError(f"`{name}` is {getattr(self, name)!r}, with a soft limit above the hard one")

    def all(self) -> Iterator[tuple[str, int, int]]:
        """Yield name, soft and hard limit of each limit of a container."""
        found = {**STANDARD, **{name: (soft, hard) for name, soft, hard in self.pairs()}}
        yield from ((name, *limits) for name, limits in found.items())

    def pairs(self) -> Iterator[tuple[str, int, int]]:
        """Yield name, soft and hard limit of each limit that is set."""
        for name in self.__struct_fields__:
            if (value := getattr(self, name)) is not None:
                soft, _, hard = str(value).partition(":")
                yield name, _number(soft), _number(hard or soft)


def _number(text: str) -> int:
    return UNLIMITED if text == "unlimited" else int(text)
