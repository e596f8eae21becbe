"""The pages of the documentation that are generated from scenarios and mutants."""
