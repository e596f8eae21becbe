"""What the Linux kernel offers that Python's standard library lacks."""
