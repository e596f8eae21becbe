"""The first kernel of a list on which a scenario ends otherwise."""
