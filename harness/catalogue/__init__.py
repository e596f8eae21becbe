"""Scenarios, platforms, mutants and clauses, found by name."""
