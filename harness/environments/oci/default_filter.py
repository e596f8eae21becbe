"""An engine's default filter, as the engine writes it for a container.

Run as ``python3 -m worldswitch.harness.environments.oci.default_filter``.

An engine does not say its default, but hands each container's share of it to the runtime, in a file that can be read
while the container runs.  One container without any capability and one with each give the rules and their conditions;
as a file in the engines' format that is `containers/seccomp/default.json`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, TypeAlias

from docker.errors import APIError

from worldswitch.harness.environments.docker import engine, image
from worldswitch.harness.environments.docker.engine import Engine
from worldswitch.harness.environments.docker.image import Image
from worldswitch.harness.environments.oci.capabilities import EVERY
from worldswitch.harness.environments.place import LABEL, PLACE_LABEL, place
from worldswitch.harness.environments.run_resources import RunResources

Rule: TypeAlias = dict[str, Any]

#: Where the containerd of a private dockerd keeps what it hands to the runtime, below the engine's exec-root.
HANDED = "containerd/daemon/io.containerd.runtime.v2.task/moby/{container}/config.json"


def specification(run: RunResources, container: str) -> dict[str, Any]:
    """What the run's private engine handed to the runtime for a container that runs."""
    file = run.sockets / "exec" / HANDED.format(container=container)
    handed: dict[str, Any] = json.loads(file.read_text())
    return handed


def shares(found: Engine, built: Image, run: RunResources) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield a capability, or none, and the filter of a container with that capability."""
    for name in ("", *EVERY):
        with suppress(APIError):  # the engine, or this machine, has no such capability
            yield name, _share(found, built, run, name)


def _share(found: Engine, built: Image, run: RunResources, name: str) -> dict[str, Any]:
    container = found.client.containers.create(
        built.name,
        ["python3", "-c", "import signal; signal.pause()"],
        cap_drop=["ALL"],
        cap_add=[name.removeprefix("CAP_")] if name else [],
        cgroup_parent=found.cgroup_parent,
        labels={LABEL: run.id, PLACE_LABEL: place()},
        network_mode="none",
    )
    try:
        container.start()
        filter_: dict[str, Any] = specification(run, str(container.id))["linux"]["seccomp"]
        return filter_
    finally:
        container.remove(force=True)


def whole(seen: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the filter whose shares are these, by capability; that of none is `seen[""]`."""
    bare = seen[""]
    native, *others = bare["architectures"]
    rules: list[Rule] = []
    for rule in bare["syscalls"]:
        without = [name for name, share in seen.items() if rule not in share["syscalls"]]
        rules.append({**rule, "excludes": {"caps": without}} if without else rule)
    for name, share in seen.items():
        added = [rule for rule in share["syscalls"] if rule not in bare["syscalls"]]
        rules += [{**rule, "includes": {"caps": [name]}} for rule in added]
    return {
        "defaultAction": bare["defaultAction"],
        "archMap": [{"architecture": native, "subArchitectures": others}],
        "syscalls": rules,
    }


def main() -> None:
    """Print the default filter of a private engine, with its name as the comment."""
    run = RunResources.create()
    try:
        found = engine.start(run)
        built = image.obtain(found, run, lambda line: print(line, file=sys.stderr, flush=True))
        said = whole(dict(shares(found, built, run)))
        print(json.dumps({"comment": f"The default filter of {found.name}, as observed.", **said}, indent="\t"))
    finally:
        run.close()


if __name__ == "__main__":
    main()
