"""What strangers wrote reaches a terminal or a CI system's log only as legible text."""

from __future__ import annotations

import io

import pytest
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from worldswitch.harness.legible import legible, shortened
from worldswitch.harness.report.console import legibly

#: What was written, and what is shown.
ILLEGIBLE = {
    "\x1b[2J\x1b]0;title\x07": "\\x1b[2J\\x1b]0;title\\x07",
    "\x9b31m": "\\x9b31m",
    "one\rtwo": "one\\rtwo",
    "abc\u202etxt": "abc\\u202etxt",
    "\ud800": "\\ud800",
    "\U000e0041": "\\U000e0041",
    "::error::no": "\\x3a:error::no",
    "  ::stop-commands::x": "  \\x3a:stop-commands::x",
    "1\n::add-mask::x": "1\n\\x3a:add-mask::x",
    "see ##[error]x": "see \\x23#[error]x",
}

LEGIBLE = ("pool::a_sentence", "tab\tand\nline", "µs ≤ é 漢 …", "host::x", "# ## [x]", "a: :b")


@pytest.mark.parametrize(("text", "shown"), ILLEGIBLE.items())
def test_what_is_not_legible_is_escaped(text: str, shown: str) -> None:
    assert legible(text) == shown
    assert legible(shown) == shown


@pytest.mark.parametrize("text", LEGIBLE)
def test_what_is_legible_stays(text: str) -> None:
    assert legible(text) == text


def printed(*things: object, terminal: bool = False) -> str:
    out = legibly(Console(file=io.StringIO(), soft_wrap=True, width=200, force_terminal=terminal, highlight=False))
    for thing in things:
        out.print(thing)
    return out.file.getvalue()  # type: ignore[attr-defined,no-any-return]


@pytest.mark.parametrize("wrapped", [str, Text, lambda text: Text(f"a\n{text}", "red")])
def test_a_console_prints_text_legibly(wrapped: type[str]) -> None:
    said = printed(wrapped("::set-output name=a::\x1b]52;c;eA==\x1b\\"))
    assert said.endswith("\\x3a:set-output name=a::\\x1b]52;c;eA==\\x1b\\\n")


def test_a_table_keeps_its_colours_and_loses_control_characters() -> None:
    table = Table("id", box=None)
    table.add_row(Text("\x1b[2Jred", "red"))
    said = printed(table, terminal=True)
    assert "\x1b[31m\\x1b[2Jred" in said
    assert "\x1b[2J" not in said


def test_a_double_colon_within_a_line_stays() -> None:
    assert printed(Text("host").append("::pool", "bold")) == "host::pool\n"


def test_a_live_display_still_moves_the_cursor() -> None:
    out = legibly(Console(file=io.StringIO(), width=80, force_terminal=True, highlight=False))
    with Live("row", console=out, auto_refresh=False) as live:
        out.print("\x1b[2Jline")
        live.update("other", refresh=True)
    said = out.file.getvalue()  # type: ignore[attr-defined]
    assert "\\x1b[2Jline" in said
    assert "\x1b[2K" in said


@pytest.mark.parametrize(
    ("width", "shown"),
    [(40, "linux-6.12:docker-default"), (20, "linux-6.1…er-default"), (5, "li…lt"), (1, "…"), (0, "")],
)
def test_a_long_name_is_shortened_in_the_middle(width: int, shown: str) -> None:
    assert shortened("linux-6.12:docker-default", width) == shown
