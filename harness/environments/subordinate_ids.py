"""The user ids that a private engine maps into user namespaces."""

from __future__ import annotations

#: The unprivileged user, and the ids that a container's ids are mapped to: high ones, which are rarely in use.
NOBODY, FIRST_MAPPED, MAPPED = 65534, 2_000_000_000, 65536
