"""Containers of a Docker engine, and the image that they are made from."""
