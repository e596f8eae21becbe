"""Kernels in words: which there are, how two differ, which is the first bad one."""
