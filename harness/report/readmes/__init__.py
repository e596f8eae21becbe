"""The generated lists of scenarios and mutants."""
