"""Where a suite runs: on this host, or in a container under a profile; and which of those can be had here.

An **environment** starts a **cell**: one process of `worldswitch.harness.cell`, whose framed results come out of its
standard output and whose log out of its standard error.  What cannot be had is a value too, `Missing`, with the reason
and the way out: a planned cell that never ran must not look like one that was never planned.

    with plan("auto", ["sys-ptrace"]) as environments:
        for environment in environments:
            ...
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

from worldswitch.harness import profiles
from worldswitch.harness.errors import Unobtainable
from worldswitch.harness.holdings import Holdings, sweep
from worldswitch.harness.host import Host
from worldswitch.harness.profiles import Profile

if TYPE_CHECKING:
    from worldswitch.harness.expectations import Expectation

EngineChoice: TypeAlias = Literal["auto", "host", "docker", "oci"]
Containers: TypeAlias = Literal["docker", "oci"]  #: who makes them
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
    def expectations(self) -> tuple[Expectation, ...]:
        """Which scenarios may end otherwise than in a pass here, and why."""
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
    expectations: tuple[Expectation, ...] = ()


@dataclass
class Plan:
    """The environments of one run, and what keeps them up; closing it takes all of that down."""

    environments: list[Environment | Missing] = field(default_factory=list)
    holdings: list[Holdings] = field(default_factory=list)
    stack: ExitStack = field(default_factory=ExitStack)  #: what is to be closed before the holdings are

    def __iter__(self) -> Iterator[Environment | Missing]:
        return iter(self.environments)

    def __len__(self) -> int:
        return len(self.environments)

    def __enter__(self) -> Plan:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Take down machines, the cells' containers, and the engines that were started for them."""
        try:
            self.stack.close()
        finally:
            self._give_back()

    def _give_back(self) -> None:
        while self.holdings:
            try:
                self.holdings.pop().close()
            finally:
                self._give_back()


def plan(
    engine: EngineChoice = "auto",
    wanted: Sequence[str] = (),
    *,
    kernels: Sequence[str] = (),
    install_engine: bool = False,
    say: Say = lambda _: None,
) -> Plan:
    """Get ready what was asked for: the host, a container per profile of an engine, or of a plain runtime.

    `auto` is the host and an engine's containers.  With `kernels`, the same in a virtual machine of each, where a plain
    runtime makes the containers, and nothing on this machine's own.
    `wanted` names profiles, or files of profiles; `all` means each that comes with the package and can be had here,
    none the usual ones.
    """
    chosen = [] if engine == "host" else profiles.select(wanted)
    result = Plan([Host()] if not kernels and engine in ("auto", "host") else [])
    try:
        if kernels:
            from worldswitch.harness.vm import plan as machines

            machines.add(result, kernels, engine, chosen, say)
        elif chosen:
            _add_containers(result, "oci" if engine == "oci" else "docker", chosen, wanted, install_engine, say)
    except BaseException:
        result.close()
        raise
    return result


def _add_containers(
    result: Plan, kind: Containers, chosen: Sequence[Profile], wanted: Sequence[str], install: bool, say: Say
) -> None:
    from worldswitch.harness import makers

    sweep()
    make = makers.BY_KIND[kind](result.holdings, install, say)
    for profile in chosen:
        try:
            result.environments.append(make(profile))
        except Unobtainable as problem:
            if profiles.ALL in wanted and isinstance(problem, makers.NotHere):
                say(f"left out: {problem.reason}")  # nobody asked for this one
                continue
            missing = Missing(f"{kind}:{profile.name}", problem.reason, problem.remedy, profile.expectations)
            result.environments.append(missing)
