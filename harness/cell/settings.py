"""What a cell was told to do, as its trials need it."""

from __future__ import annotations

from dataclasses import dataclass

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

    def load(self) -> PlatformFactory:
        """The platform under test."""
        if self.mutant:
            return load_mutant(self.mutant).factory
        return load_platform(self.platform)

    def again(self, scenario: catalogue.Scenario) -> str:
        """The options that repeat one trial of this run."""
        return f"--id {scenario.name} --repeat {self.repeat} --seed {self.seed}"
