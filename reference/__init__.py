"""The reference ptrace platform, after gVisor's: see `worldswitch.reference.ptrace`."""
