"""Decides whether a verdict was expected: rules, their conditions, excuses, stale rules, outcomes."""
