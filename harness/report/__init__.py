"""Outcomes for people and machines: the terminal, the matrix page, exports, explanations."""
