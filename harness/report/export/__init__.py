"""A run in the formats of others: JUnit XML, KTAP, CTRF, SQLite."""
