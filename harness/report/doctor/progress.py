"""Tell on a terminal what is being tried.

Probes fork, so there is no thread that redraws: the line changes when the next step begins.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live
from rich.text import Text

from worldswitch.harness.environments.protocol import Say


@contextmanager
def telling(out: Console) -> Iterator[Say]:
    """Return the function that shows a line in place of the last one; the line is removed at the end."""
    if not out.is_terminal:
        yield lambda _: None
        return
    with Live(console=out, auto_refresh=False, transient=True) as live:
        yield lambda text: live.update(Text(f"{text} ..."), refresh=True)
