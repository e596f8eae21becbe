"""The user ids that a private engine maps into user namespaces."""

from __future__ import annotations

#: Who has no rights anywhere, and which ids stand for those of a container: Linux has 4 billion, people use the lowest.
NOBODY, FIRST_MAPPED, MAPPED = 65534, 2_000_000_000, 65536
