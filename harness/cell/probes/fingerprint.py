"""The machine's properties that a verdict may depend on."""

from __future__ import annotations

import os
import platform
from collections.abc import Collection
from importlib import metadata
from pathlib import Path

from worldswitch.harness.catalogue.scenarios import SCENARIOS
from worldswitch.harness.cell.probes import confinement, kernel_facts, table
from worldswitch.harness.cell.probes.kernel_facts import Observed
from worldswitch.harness.cell.records import Fingerprint
from worldswitch.harness.linux.uname import kernel

_DISTRIBUTIONS = ("worldswitch", "pytest", "pytest-xdist", "cffi", "msgspec")


def take(
    package: str | None = SCENARIOS,
    time_scale: float = 1,
    observed: Observed | None = None,
    only: Collection[str] | None = None,
) -> Fingerprint:
    """Return the fingerprint of this machine; without a `package` of scenarios it runs no probes and observes no facts.

    `time_scale` multiplies the time for facts.  With `observed` they are not observed again.  With `only`, facts of
    other names are left out.
    """
    found = {name: table.probe(name) for name in table.PROBES} if package else {}
    seconds = kernel_facts.SECONDS * time_scale
    seen = observed or Observed(kernel_facts.observe(package, seconds, only) if package else {})
    left_out = only is not None and not observed
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
        facts_left_out=left_out,
        behaviour="" if left_out else kernel_facts.digest(seen.facts),
        confinement=confinement.look() if package else None,
    )


def versions() -> dict[str, str]:
    """Return the versions of this package and those that trials use."""
    return dict(sorted((name, _version(name)) for name in _DISTRIBUTIONS))


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return "unknown"  # no /proc, or one of processes only
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "absent"
