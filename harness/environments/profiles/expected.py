"""What a container's processes must see of the profile's settings; the cell compares before the first trial.

An engine may ignore a setting without an error: an AppArmor profile on a kernel without AppArmor, a filter in a runtime
that has none.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec

from worldswitch.harness.environments.oci import capabilities
from worldswitch.harness.environments.profiles import devices
from worldswitch.harness.environments.profiles.profile import Profile
from worldswitch.harness.linux.capabilities import EVERY


def option(profile: Profile, *, limited: bool = True) -> tuple[str, str]:
    """Return the cell's option with the settings; `limited` is False for a container without control groups."""
    return "--confinement", json.dumps(settings(profile) | ({} if limited else {"limits": {}}))


def settings(profile: Profile) -> dict[str, Any]:
    """Return the settings as `worldswitch.harness.linux.confinement` reads them."""
    return {
        "user": [int(number) for number in profile.user.split(":")],
        "groups": list(profile.groups),
        "capabilities": _numbers(profile),
        "every_capability": profile.capabilities == "all",
        "seccomp": profile.seccomp != "unconfined",
        "no_new_privileges": profile.no_new_privileges,
        "apparmor": "unconfined" if profile.privileged else profile.apparmor,
        "selinux": list(profile.selinux),
        "read_only": profile.read_only,
        "mounts": [msgspec.to_builtins(one) | {"options": list(one.flags)} for one in profile.mounts],
        "devices": [target for source, target, _ in devices.split(profile.devices) if source != "/dev"],
        "limits": {"memory": profile.limits.memory_bytes, "pids": profile.limits.pids},
        "ulimits": {name: [soft, hard] for name, soft, hard in profile.ulimits.all()},
    }


def _numbers(profile: Profile) -> dict[str, int] | None:
    """Return the numbers of the granted capabilities by name; None if the engine chooses them."""
    if profile.capabilities == "default":
        return None
    known = {name: number for number, name in enumerate(EVERY)}
    return {name: known[name] for name in capabilities.granted(profile.capabilities)}
