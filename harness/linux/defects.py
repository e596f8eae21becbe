"""How a program reports an exception that nothing in it handles: a defect, which has an exit status of its own."""

from __future__ import annotations

import os
import sys
import traceback


def line(error: BaseException) -> str:
    """Name the exception in one line."""
    said = " ".join(" ".join(traceback.format_exception_only(error)).split())
    return f"internal error: {said}; report this line and the traceback below it"


def report(program: str, error: BaseException) -> int:
    """Print the line and the traceback to standard error; returns the exit status."""
    print(f"{program}{line(error)}", file=sys.stderr)
    traceback.print_exception(error)
    sys.stderr.flush()
    return os.EX_SOFTWARE
