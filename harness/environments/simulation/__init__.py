"""Simulates a seccomp filter: what a runtime's kernel filter answers to a system call, and which rule decided."""
