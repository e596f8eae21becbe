"""Scenarios that write down when they begin and end, one of which changes what all share."""
