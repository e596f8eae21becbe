"""The protocol of environments: what one is, what it starts, and the lane that several share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

from worldswitch.harness.environments.profiles.profile import Profile

EngineChoice: TypeAlias = Literal["auto", "host", "docker", "oci"]
Containers: TypeAlias = Literal["docker", "oci"]  #: what makes them: an engine, or a plain OCI runtime
Say: TypeAlias = Callable[[str], None]  #: takes one line of what is being done, for whoever waits


class Cell(Protocol):
    """One run of the suite in an environment."""

    def frames(self) -> Iterator[bytes]:
        """Yield the lines of the cell's standard output as they come; ends when the cell has."""
        ...

    @property
    def log(self) -> str:
        """The end of what the cell wrote to its standard error."""
        ...

    def wait(self, deadline: float) -> int:
        """The exit status, `deadline` seconds from now at the latest; else raises TimeoutError, or `Lost`."""
        ...

    def kill(self) -> None:
        """End the cell and everything it started; harmless when it has ended."""
        ...


class Lost(Exception):
    """What a cell ran on is no more: a virtual machine that panicked, say."""


class Lane(Protocol):
    """What several environments share and what takes a while to get up: a virtual machine, say."""

    def open(self) -> None:
        """Get it up, unless it is; what its environments know of themselves is whole then.  Raises `Unobtainable`."""
        ...

    def close(self) -> None:
        """Take it down, with whatever runs in it; any thread may, and it may be down already."""
        ...


class Environment(Protocol):
    """Somewhere a suite can run."""

    @property
    def name(self) -> str:
        """What results call it: `host`, `docker:sys-ptrace`."""
        ...

    @property
    def facts(self) -> Mapping[str, str]:
        """What a reader of the results needs to know of it: engine, version, profile, image."""
        ...

    @property
    def profile(self) -> Profile | None:
        """The profile of its container; None outside of a container."""
        ...

    @property
    def lane(self) -> Lane | None:
        """The lane it shares with other environments; None if it has this whole machine."""
        ...

    def start(self, arguments: Sequence[str]) -> Cell:
        """Run `python3 -m worldswitch.harness.cell` with these arguments there."""
        ...


@dataclass(frozen=True, slots=True)
class Missing:
    """An environment that was asked for and cannot be had."""

    name: str
    reason: str
    remedy: str
    profile: Profile | None = None
    lane: Lane | None = None
