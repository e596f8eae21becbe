"""A run's folder: written, read, compared, and kept as a baseline."""
