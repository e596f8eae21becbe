"""Data only: the image, container profiles and seccomp filters."""
