"""Containers of a Docker engine, and their image."""
