"""A worked example: one scenario, run by `--scenarios worked`."""
