"""A few scenarios that ask next to nothing, for the tests of the harness."""
