"""Simple scenarios for the tests of the harness."""
