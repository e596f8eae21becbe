"""The specification: what every ptrace platform, kernel and container set-up is held to, a file a behaviour family."""
