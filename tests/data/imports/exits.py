"""A module that exits on import."""

import sys

sys.exit(0)
