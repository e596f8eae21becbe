"""Makes the manifest of a run from its request."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import asdict

from worldswitch.harness.catalogue.scenarios import Scenario
from worldswitch.harness.cell.probes import fingerprint
from worldswitch.harness.linux.uname import kernel
from worldswitch.harness.results.manifest import Manifest, PlannedScenario
from worldswitch.harness.run.request import Request


def new(run: str, request: Request, scenarios: Iterable[Scenario]) -> Manifest:
    """Return the manifest of a run that starts now, in the folder called `run`."""
    return Manifest(
        run=run,
        started=time.time(),
        seed=request.seed,
        request=asdict(request),
        kernel=kernel(),
        versions=fingerprint.versions(),
        scenarios=tuple(
            PlannedScenario(name=one.name, ids=one.ids, claim=one.claim, clauses=one.clauses, needs=one.needs)
            for one in scenarios
        ),
    )
