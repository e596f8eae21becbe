"""Finds the first kernel of a list with another verdict on a scenario."""
