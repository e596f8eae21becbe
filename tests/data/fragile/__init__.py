"""A scenario whose xdist worker may die before its trial."""
