"""What is known of a trial that did not pass: its last ptrace events, and the processes that were there."""
