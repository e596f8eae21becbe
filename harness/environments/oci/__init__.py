"""Containers without an engine: a plain OCI runtime runs the suite in the image's tree of files."""
