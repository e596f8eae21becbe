"""Container profiles and their seccomp filters."""
