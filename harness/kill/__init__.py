"""Whether the scenarios bite: mutants are put to them, and what becomes of each is the kill matrix."""
