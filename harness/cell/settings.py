"""The settings of a cell, as its trials need them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from worldswitch.harness.catalogue.mutants import load_mutant
from worldswitch.harness.catalogue.platforms import load_platform
from worldswitch.harness.catalogue.scenarios import Scenario
from worldswitch.harness.contract import PlatformFactory

IMPORT_SECONDS = 60.0  #: the deadline for importing a platform


@dataclass(frozen=True, slots=True)
class Settings:
    """The options of a run of trials; see `worldswitch.harness.cell.options`."""

    scenarios: str
    platform: str
    mutant: str | None
    repeat: str
    ids: tuple[str, ...]
    deadline: float  #: seconds; the upper bound for every trial
    time_scale: float  #: the factor on each scenario's own deadline
    seed: int
    chaos: bool = True

    @classmethod
    def of(cls, asked: Any, seed: int) -> Settings:
        """Return the settings of parsed options; `seed` is the given or the drawn one."""
        names = ("scenarios", "platform", "mutant", "repeat", "deadline", "time_scale", "chaos")
        return cls(**{name: getattr(asked, name) for name in names}, ids=tuple(asked.id), seed=seed)

    def load(self) -> PlatformFactory:
        """Import the platform under test; raises `NotFound`."""
        if self.mutant:
            return load_mutant(self.mutant).factory
        return load_platform(self.platform)

    def repeat_options(self, scenario: Scenario) -> str:
        """Return the options that repeat one trial of this run."""
        return f"--id {scenario.name} --repeat {self.repeat} --seed {self.seed}"
