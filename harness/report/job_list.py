"""Prints the cells of a run as JSON: the job matrix of a CI system."""

from __future__ import annotations

import json

from worldswitch.harness.environments.places import Place
from worldswitch.harness.expectations.outcome import Status
from worldswitch.harness.run import sharding
from worldswitch.harness.run.request import Request


def show(request: Request) -> Status:
    """Print one object per cell: its name, kernel, profile, and the option that selects it."""
    every = sharding.of(request)
    print(json.dumps([_job(place, f"{number}/{len(every)}") for number, place in enumerate(every, 1)], indent=2))
    return Status.AS_EXPECTED


def _job(place: Place, shard: str) -> dict[str, str]:
    return {"name": place.name, "kernel": place.kernel, "profile": place.profile, "arguments": f"--shard {shard}"}
