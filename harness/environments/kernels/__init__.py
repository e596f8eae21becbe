"""Kernels that can be booted: which there are, and where they are fetched from."""
