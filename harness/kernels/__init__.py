"""The kernels of the matrix: which there are, how each is had, how two differ, where a scenario turns."""
