"""A container that only lends its PID namespace to another one."""

from __future__ import annotations

import msgspec

from worldswitch.harness.environments.profiles.profile import Namespaces, Profile

#: What another container's process 1 does, which only lends its PID namespace.
IDLE = ["python3", "-c", "import signal; signal.pause()"]


def companion_profile(profile: Profile) -> Profile:
    """The profile for a container that only lends its PID namespace."""
    return msgspec.structs.replace(profile, namespaces=Namespaces(), init=True)
