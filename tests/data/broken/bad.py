"""A module that raises on import."""

raise RuntimeError("not today")
