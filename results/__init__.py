"""Data only: the schema of results, and committed runs."""
