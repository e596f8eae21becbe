"""Kernel interfaces that Python's standard library lacks."""
