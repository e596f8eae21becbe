"""How a command line is parsed, explained and completed."""
