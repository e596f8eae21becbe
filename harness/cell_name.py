"""What people call a cell: one platform in one environment."""

from __future__ import annotations

import re
from dataclasses import dataclass

#: The platform that is meant where none is named.
REFERENCE = "reference"


@dataclass(frozen=True, slots=True)
class CellName:
    """As text: the environment, and the platform unless that is the reference."""

    environment: str  #: `host`, `docker:hardened`
    platform: str = REFERENCE

    def __str__(self) -> str:
        return self.environment if self.platform == REFERENCE else f"{self.environment}/{self.platform}"

    @property
    def file(self) -> str:
        """The name of the file its results go to."""
        return f"{re.sub('[:/]', '-', str(self))}.jsonl"

    @property
    def options(self) -> str:
        """The options of `worldswitch run` that choose this cell alone."""
        engine, _, profile = self.environment.partition(":")
        words = [f"--engine {engine}"]
        words += [f"--profile {profile}"] if profile else []
        words += [f"--platform {self.platform}"] if self.platform != REFERENCE else []
        return " ".join(words)
