"""Raises."""

raise RuntimeError("not today")
