"""Benchmarks of a world switch: measurement, noise, comparison and report.

suite/          the benchmarks, one file per subject
native/         C loops that make the same kernel calls and nothing else, and the guests
benchmark.py    what a benchmark is
workbench.py    the platforms, guests and pinned threads that benchmarks use
worker.py       one process that measures some benchmarks in turn
"""
