"""What a cell was told to do, as its trials need it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from worldswitch.harness.catalogue import scenarios as catalogue
from worldswitch.harness.catalogue.mutants import load_mutant
from worldswitch.harness.catalogue.platforms import load_platform
from worldswitch.harness.contract import PlatformFactory

#: How long importing a platform may take.
IMPORT_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Settings:
    """How this run was asked to be."""

    scenarios: str
    platform: str
    mutant: str | None
    repeat: str
    ids: tuple[str, ...]
    deadline: float
    time_scale: float
    seed: int
    chaos: bool = True

    @classmethod
    def of(cls, asked: Any, seed: int) -> Settings:
        """Return what the options of `worldswitch.harness.cell.options` say; `seed` is the one asked for, or drawn."""
        names = ("scenarios", "platform", "mutant", "repeat", "deadline", "time_scale", "chaos")
        return cls(**{name: getattr(asked, name) for name in names}, ids=tuple(asked.id), seed=seed)

    def load(self) -> PlatformFactory:
        """The platform under test."""
        if self.mutant:
            return load_mutant(self.mutant).factory
        return load_platform(self.platform)

    def again(self, scenario: catalogue.Scenario) -> str:
        """The options that repeat one trial of this run."""
        return f"--id {scenario.name} --repeat {self.repeat} --seed {self.seed}"
