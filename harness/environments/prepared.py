"""The environments of one run and the resources that they use."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field

from worldswitch.harness.environments.protocol import Environment, Missing


@dataclass
class Plan:
    """The environments of one run; closing it stops their machines and removes their resources."""

    environments: list[Environment | Missing] = field(default_factory=list)
    stack: ExitStack = field(default_factory=ExitStack)  #: the runs, and the machines that use them

    def __iter__(self) -> Iterator[Environment | Missing]:
        return iter(self.environments)

    def __len__(self) -> int:
        return len(self.environments)

    def __enter__(self) -> Plan:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop machines, remove the cells' containers, and stop the private engines."""
        self.stack.close()
