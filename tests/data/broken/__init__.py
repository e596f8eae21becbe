"""A package of scenarios with a module that cannot be imported."""
