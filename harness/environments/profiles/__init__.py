"""Profiles: what a container's processes may do, and the seccomp filters that they name."""
