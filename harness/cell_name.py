"""The name of a cell: one platform in one environment."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

#: The default platform.
REFERENCE = "reference"

#: The prefix of an environment that boots a kernel of its own.
KERNEL = "linux-"


@dataclass(frozen=True, slots=True)
class CellName:
    """A cell's name; as text the environment, and the platform unless that is the reference."""

    environment: str  #: `host`, `docker:hardened`
    platform: str = REFERENCE

    def __str__(self) -> str:
        return self.environment if self.platform == REFERENCE else f"{self.environment}/{self.platform}"

    @property
    def file(self) -> str:
        """The name of its results file."""
        return f"{re.sub('[:/]', '-', str(self))}.jsonl"

    @property
    def kernel(self) -> str:
        """The minor version of the kernel booted for it; empty if it runs on this machine's kernel."""
        engine = self.environment.partition(":")[0]
        return engine.removeprefix(KERNEL) if engine.startswith(KERNEL) else ""

    @property
    def profiles(self) -> tuple[str, ...]:
        """The profile of its container; empty without one."""
        profile = self.environment.partition(":")[2]
        return (profile,) if profile else ()

    @property
    def place(self) -> dict[str, Any]:
        """The fields of a `worldswitch.harness.run.request.Request` that select only its environment."""
        if self.kernel:
            engine = "auto" if self.profiles else "host"
            return {"engine": engine, "profiles": self.profiles, "kernels": (self.kernel,)}
        return {"engine": self.environment.partition(":")[0], "profiles": self.profiles}

    @property
    def options(self) -> str:
        """The options of `worldswitch run` that select only this cell."""
        words = [f"--kernel {self.kernel}"] if self.kernel else []
        words += [f"--engine {self.place['engine']}"] if self.place["engine"] != "auto" else []
        words += [f"--profile {profile}" for profile in self.profiles]
        words += [f"--platform {self.platform}"] if self.platform != REFERENCE else []
        return " ".join(words)


def parse(text: str) -> CellName:
    """Return the name that `str` made."""
    environment, _, platform = text.partition("/")
    return CellName(environment, platform or REFERENCE)
