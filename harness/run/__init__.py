"""Runs requests: starts, collects and judges cells, and writes their results."""
