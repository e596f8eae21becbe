"""What there is to run, found by name: scenarios, platforms, mutants, clauses."""
