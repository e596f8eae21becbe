"""Print an engine's default seccomp filter, read from the containers that it makes.

Run as ``python3 -m worldswitch.harness.environments.oci.default_filter``.

An engine does not publish its default filter, but passes the part that applies to a container to the runtime, in a
file that exists while the container runs.  A container without capabilities and one with each capability reveal the
rules and their conditions; `containers/seccomp/default.json` is the result in the engines' format.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, TypeAlias

from docker.errors import APIError

from worldswitch.harness.environments.cache import LABEL, PLACE_LABEL, place
from worldswitch.harness.environments.docker import engine, image
from worldswitch.harness.environments.docker.engine import Engine
from worldswitch.harness.environments.docker.image import Image
from worldswitch.harness.environments.profiles.profile import IDLE
from worldswitch.harness.environments.run_resources import RunResources
from worldswitch.harness.linux.capabilities import EVERY

Rule: TypeAlias = dict[str, Any]

#: The specification that a private dockerd's containerd passes to the runtime, below the engine's exec-root.
PASSED = "containerd/daemon/io.containerd.runtime.v2.task/moby/{container}/config.json"


def specification(run: RunResources, container: str) -> dict[str, Any]:
    """Return the specification of a running container of the run's private engine."""
    file = run.sockets / "exec" / PASSED.format(container=container)
    found: dict[str, Any] = json.loads(file.read_text())
    return found


def shares(found: Engine, built: Image, run: RunResources) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each capability, and first an empty name, with the filter of a container that has it alone."""
    for name in ("", *EVERY):
        with suppress(APIError):  # the engine or the kernel lacks this capability
            yield name, _share(found, built, run, name)


def _share(found: Engine, built: Image, run: RunResources, name: str) -> dict[str, Any]:
    container = found.client.containers.create(
        built.name,
        IDLE,
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
    """Merge the filters that `shares` yields, by capability, into one with conditions."""
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
    """Print the default filter of a private engine, with the engine's name as the comment."""
    run = RunResources.create()
    try:
        found = engine.start(run)
        built = image.obtain(found, run, lambda line: print(line, file=sys.stderr, flush=True))
        merged = whole(dict(shares(found, built, run)))
        print(json.dumps({"comment": f"The default filter of {found.name}, as observed.", **merged}, indent="\t"))
    finally:
        run.close()


if __name__ == "__main__":
    main()
