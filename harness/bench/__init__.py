"""What a world switch costs: benchmarks, what may be believed of their numbers, and a report that explains them.

suite/          the benchmarks, one file a subject; each is a pyperf script too
native/         the C: what the kernel alone costs, and the guests
benchmark.py    what a benchmark is
workbench.py    what benchmarks are made with: platforms, guests, pinned threads
worker.py       one process that measures some benchmarks in turn
"""
