"""The console that reports are printed on, and the style of each verdict."""

from __future__ import annotations

from rich.console import Console

from worldswitch.harness.verdict import Verdict

LOG_WIDTH = 320  #: of a table in a log, where nothing need be cut


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
    """Where reports go: standard output, with colour and movement only where somebody watches."""
    out = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)
    if not out.is_terminal:
        out.width = LOG_WIDTH
    return out
