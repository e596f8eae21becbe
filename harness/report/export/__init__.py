"""Exports a run as JUnit XML, KTAP, CTRF or SQLite."""
