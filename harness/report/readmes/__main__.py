"""Keeps the documents that are drawn from the code: `python -m worldswitch.harness.report.readmes`, or `nox -s docs`.

Each is written by hand down to one line, and made from the scenarios and mutants below it.  With ``--check`` nothing
is written, and the exit status is 1 if a document is not what it should be.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from worldswitch.harness.report.readmes import mutants, scenarios

TOP = Path(__file__).parents[3]

LINE = "<!-- What follows is made by `nox -s docs`. -->"

#: The documents, and what makes their lower part.
DOCUMENTS: Mapping[str, Callable[[], Iterable[str]]] = {
    "scenarios/README.md": scenarios.lines,
    "reference/mutants/README.md": mutants.lines,
}


def made(name: str) -> str:
    """The document `name` as it should be."""
    by_hand, line, _ = (TOP / name).read_text(encoding="utf-8").partition(LINE)
    if not line:
        raise ValueError(f"{name} has no line {LINE}")
    return "\n".join([by_hand + line, "", *DOCUMENTS[name](), ""])


def stale() -> list[str]:
    """The documents that are not what they should be."""
    return [name for name in DOCUMENTS if made(name) != (TOP / name).read_text(encoding="utf-8")]


def main(arguments: Sequence[str] | None = None) -> int:
    """Write them, or check."""
    parser = argparse.ArgumentParser(
        prog="python -m worldswitch.harness.report.readmes", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("--check", action="store_true", help="write nothing; fail if something would change")
    check = parser.parse_args(arguments).check
    changed = stale()
    for name in changed:
        print(f"{name}: {'is not current; run nox -s docs' if check else 'written'}")
        if not check:
            (TOP / name).write_text(made(name), encoding="utf-8")
    return 1 if check and changed else 0


if __name__ == "__main__":
    sys.exit(main())
