"""The console that reports are printed on, and the style of each verdict."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, ConsoleRenderable, RenderHook
from rich.segment import Segment

from worldswitch.harness.legible import legible
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


def console(*, stderr: bool = False) -> Console:
    """Return a console on standard output, or on standard error, that prints legibly.

    It has colour and live updates on a terminal only.
    """
    out = Console(stderr=stderr, highlight=False, markup=False, emoji=False, soft_wrap=True)
    if not out.is_terminal:
        out.width = LOG_WIDTH
    return legibly(out)


def legibly(out: Console) -> Console:
    """Make `out` print only legible text, whatever the reports contain; returns it."""
    out.push_render_hook(_Legibly())
    return out


@dataclass(frozen=True, slots=True)
class Legible:
    """A renderable whose text is made legible; its colours and positions stay."""

    inner: ConsoleRenderable

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Segment]:
        """Render it; a CI system's command is one only at the start of a line, whatever the styles there."""
        blank = True
        for text, style, control in console.render(self.inner, options):
            if control:
                yield Segment(text, style, control)
                continue
            for part in re.findall("[^\n]+|\n", text):
                yield Segment(legible(part) if blank else legible(f".{part}")[1:], style)
                blank = part == "\n" or (blank and not part.strip())


class _Legibly(RenderHook):
    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        return [Legible(one) for one in renderables]
