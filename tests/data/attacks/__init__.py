"""Scenarios in which the platform `evil` attacks the harness, each followed by one that must not notice."""
