"""Scenarios of which some cannot be imported."""
