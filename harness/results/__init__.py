"""Writes, reads and compares the folders of runs, and turns a run into a baseline."""
