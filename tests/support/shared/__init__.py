"""Scenarios that log their begin and end; one is exclusive."""
