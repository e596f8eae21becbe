"""The environments of one run and everything that keeps them up."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field

from worldswitch.harness.environments.protocol import Environment, Missing
from worldswitch.harness.environments.run_resources import RunResources


@dataclass
class Plan:
    """The environments of one run, and what keeps them up; closing it takes all of that down."""

    environments: list[Environment | Missing] = field(default_factory=list)
    holdings: list[RunResources] = field(default_factory=list)
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
