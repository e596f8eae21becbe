"""The diagnosis of a trial that did not pass: its last ptrace events and its processes."""
