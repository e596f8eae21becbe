"""Containers without an engine: the image as a tree of files, and a plain OCI runtime that runs the suite in it."""
