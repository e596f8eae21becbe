"""Mutation testing: checks that each platform with a known fault fails the scenarios that it names."""
