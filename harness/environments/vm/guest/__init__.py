"""The inside of a machine: its first process, and the supervisor that runs one cell at a time.

It runs in the image's Python and imports the standard library only, since imports slow down every boot.
"""
