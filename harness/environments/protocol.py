"""The protocols of an environment, of the cell that it starts, and of the lane that several environments share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

from worldswitch.harness.environments.profiles.profile import Profile

EngineChoice: TypeAlias = Literal["auto", "host", "docker", "oci"]
Containers: TypeAlias = Literal["docker", "oci"]  #: made by an engine, or by a plain OCI runtime
Say: TypeAlias = Callable[[str], None]  #: called with one line of progress for the user


class Cell(Protocol):
    """One run of the suite in an environment."""

    def frames(self) -> Iterator[bytes]:
        """Yield the lines of the cell's standard output as they arrive, until the cell ends."""
        ...

    @property
    def log(self) -> str:
        """The tail of the cell's standard error."""
        ...

    def wait(self, deadline: float) -> int:
        """Return the exit status.  Raises TimeoutError after `deadline` seconds, or `Lost`."""
        ...

    def kill(self) -> None:
        """End the cell and its descendants; a no-op if it has ended."""
        ...


class Lost(Exception):
    """The machine below a cell is gone, for example after a kernel panic."""


class Lane(Protocol):
    """A resource that several environments share and that is slow to start, such as a virtual machine."""

    def open(self) -> None:
        """Prepare it; afterwards the `facts` of its environments are complete.  Raises `Unobtainable`."""
        ...

    def close(self) -> None:
        """Stop it and the cells in it; idempotent, callable from any thread."""
        ...


class Environment(Protocol):
    """A place where the suite can run."""

    @property
    def name(self) -> str:
        """Its name in results: `host`, `docker:sys-ptrace`."""
        ...

    @property
    def facts(self) -> Mapping[str, str]:
        """Its description in results: engine, version, profile, image."""
        ...

    @property
    def profile(self) -> Profile | None:
        """The profile of its container; None without a container."""
        ...

    @property
    def lane(self) -> Lane | None:
        """The lane that it shares with other environments; None on this machine."""
        ...

    def start(self, arguments: Sequence[str]) -> Cell:
        """Run `python3 -m worldswitch.harness.cell` with these arguments.  Raises `Unobtainable`."""
        ...


@dataclass(frozen=True, slots=True)
class Missing:
    """A requested environment that is unavailable, with the reason and a remedy."""

    name: str
    reason: str
    remedy: str
    profile: Profile | None = None
    lane: Lane | None = None
