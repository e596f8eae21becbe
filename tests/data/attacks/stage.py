"""The stage of these scenarios."""

from claims.stage import Stage, stage

__all__ = ["Stage", "stage"]
