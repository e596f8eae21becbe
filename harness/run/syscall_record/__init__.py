"""Which system calls a container makes, recorded and compared with its filter."""
