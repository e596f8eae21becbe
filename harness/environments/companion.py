"""The companion: a container that exists only to share its PID namespace with another."""

from __future__ import annotations

import msgspec

from worldswitch.harness.environments.profiles.profile import Namespaces, Profile

#: The companion's command.
IDLE = ["python3", "-c", "import signal; signal.pause()"]


def companion_profile(profile: Profile) -> Profile:
    """Return the profile of the companion of a container under `profile`: private namespaces and an init."""
    return msgspec.structs.replace(profile, namespaces=Namespaces(), init=True)
