"""The console that reports are printed on, and the style of each verdict."""

from __future__ import annotations

from rich.console import Console

from worldswitch.harness.verdict import Verdict

LOG_WIDTH = 320  #: columns of a table in a log, so that no text is cut

STYLES = {
    Verdict.PASS: "green",
    Verdict.UNSUPPORTED: "dim",
    Verdict.BLOCKED: "dim",
    Verdict.FAIL: "bold red",
    Verdict.TIMEOUT: "bold red",
    Verdict.CRASH: "bold red",
    Verdict.ERROR: "bold magenta",
    Verdict.MISS: "bold magenta",
}


def console() -> Console:
    """Return a console on standard output, with colour and live updates on a terminal only."""
    out = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)
    if not out.is_terminal:
        out.width = LOG_WIDTH
    return out
