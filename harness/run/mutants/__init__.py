"""Mutation testing: whether the scenarios fail each platform that has a known fault."""
