"""Records the system calls of a container and compares them with its filter."""
