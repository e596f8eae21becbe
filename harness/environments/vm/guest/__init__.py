"""The inside of a machine: its first process, and the supervisor that runs cells one after the other.

It comes with the image, runs in the image's Python, and needs the standard library alone, since what it imports is
paid for at each boot.
"""
