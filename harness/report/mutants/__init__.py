"""The kill matrix for people: progress, table, page."""
