"""Reports of a mutation campaign: progress, the kill matrix as a table and as a page."""
