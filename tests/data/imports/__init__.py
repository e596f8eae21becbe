"""Platforms that cannot be imported."""
