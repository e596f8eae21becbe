"""The specification that every ptrace platform, kernel and container set-up is tested against."""
