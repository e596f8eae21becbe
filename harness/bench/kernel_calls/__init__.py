"""Counts of what an operation asks of the kernel: ptrace requests, waits, stops, context switches, bytes."""
