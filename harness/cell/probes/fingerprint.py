"""What machine this is, as far as a verdict may depend on it."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path

from worldswitch.harness.catalogue.scenarios import SCENARIOS
from worldswitch.harness.cell.probes import confinement, kernel_facts, table
from worldswitch.harness.cell.probes.kernel_facts import Observed
from worldswitch.harness.cell.records import Fingerprint
from worldswitch.harness.linux.uname import kernel

_DISTRIBUTIONS = ("worldswitch", "pytest", "pytest-xdist", "cffi", "msgspec")


def take(package: str | None = SCENARIOS, time_scale: float = 1, observed: Observed | None = None) -> Fingerprint:
    """The machine as this process sees it; without a `package`, whose facts tell of the kernel, nothing is tried.

    `time_scale` is how many times slower than most it may be.  With `observed` the facts are not
    observed again.
    """
    found = {name: table.probe(name) for name in table.PROBES} if package else {}
    seen = observed or Observed(kernel_facts.observe(package, kernel_facts.SECONDS * time_scale) if package else {})
    return Fingerprint(
        kernel=kernel(),
        machine=os.uname().machine,
        cpu=_cpu(),
        cpus=len(os.sched_getaffinity(0)),
        python=f"{platform.python_implementation()} {platform.python_version()}",
        versions=versions(),
        probes=found,
        facts=seen.facts,
        facts_from=seen.where,
        behaviour=kernel_facts.digest(seen.facts),
        confinement=confinement.look() if package else None,
    )


def versions() -> dict[str, str]:
    """Which versions take part, of this package and of those that trials run in."""
    return dict(sorted((name, _version(name)) for name in _DISTRIBUTIONS))


def _cpu() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "absent"
