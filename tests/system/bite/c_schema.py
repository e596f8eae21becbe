"""One C file with all of its changes, of which a number chooses one at run time."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from .c_operators import Change

#: With BITE defined as a number, the compiler sees that change alone.
HEAD = """\
#ifndef BITE
extern int worldswitch_bite __attribute__((visibility("hidden")));
#define BITE worldswitch_bite
#endif
"""
#: A child without libc reads it as well: it is set when the library is loaded.
CHOICE = """
#include <stdlib.h>
int worldswitch_bite __attribute__((visibility("hidden")));
__attribute__((constructor(101))) static void worldswitch_bite_choose(void)
{
	const char *chosen = getenv("WORLDSWITCH_BITE_C");
	worldswitch_bite = chosen == NULL ? 0 : atoi(chosen);
}
"""
MARK = re.compile(r"\bBITE [!=]= (\d+)")


def render(source: bytes, changes: Mapping[int, Change]) -> str:
    """Return the file with these changes, by their numbers; each begins a line of its own."""
    ordered = sorted(changes.items(), key=lambda item: (item[1].start, -item[1].end, item[0]))
    return HEAD + _render(source, 0, len(source), ordered)


def _render(source: bytes, start: int, end: int, changes: Sequence[tuple[int, Change]]) -> str:
    text, at = [], start
    rest = list(changes)
    while rest:
        outer = rest[0][1]
        same = [item for item in rest if (item[1].start, item[1].end) == (outer.start, outer.end)]
        inner = [item for item in rest if item not in same and item[1].start < outer.end]
        rest = [item for item in rest if item[1].start >= outer.end]
        original = _render(source, outer.start, outer.end, inner)
        text += [source[at : outer.start].decode(), _guarded(original, same)]
        at = outer.end
    return "".join([*text, source[at:end].decode()])


def _guarded(original: str, changes: Iterable[tuple[int, Change]]) -> str:
    """An expression or statement, or one of the changes of it."""
    found = list(changes)
    if found[0][1].is_statement:
        wanted = " && ".join(f"BITE != {number}" for number, _ in found)
        return f"{{\nif ({wanted})\n{original}\n}}"
    alternatives = "".join(f"\nBITE == {number} ? ({change.text}) :" for number, change in found)
    truth = "!!" if any(change.is_truth for _, change in found) else ""
    return f"({alternatives}\n{truth}({original}))"


def numbers_near(text: str, line: int) -> list[int]:
    """Return the changes that begin on a line, or on the last line before it where any does."""
    for candidate in reversed(text.splitlines()[:line]):
        if found := MARK.findall(candidate):
            return [int(number) for number in found]
    return []
