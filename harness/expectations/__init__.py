"""Whether a verdict was expected: rules, their conditions, and the abilities that a machine may lack."""
