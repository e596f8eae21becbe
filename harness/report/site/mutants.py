"""The site's page of mutants: those of each weakness of the seed and each commit, and all of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from worldswitch.harness.catalogue import clauses, reason_lists
from worldswitch.harness.catalogue.mutants import MUTANTS, Mutant, mutants
from worldswitch.harness.report.markdown_table import code, plain, table

HISTORY = "history.toml"  #: in the folder of the mutants: commits, and what each fixed
UNMUTATED = "unmutated.toml"  #: in the same folder: weaknesses and commits without a mutant, and why

_NAMED = re.compile(r"seed\.W\d+|\b[0-9a-f]{9}\b")


def weaknesses() -> dict[str, str]:
    """The seed's weaknesses."""
    return {name: text for name, text in clauses.listed().items() if name.startswith("seed.W")}


def history() -> dict[str, str]:
    """The commits, and what each fixed."""
    return reason_lists.load(MUTANTS, HISTORY)


def unmutated() -> dict[str, str]:
    """Weaknesses and commits without a mutant, and why."""
    return reason_lists.load(MUTANTS, UNMUTATED)


def doing(mutants: Iterable[Mutant]) -> dict[str, list[str]]:
    """Each weakness and commit that an origin names, with its mutants."""
    found: dict[str, list[str]] = {}
    for mutant in mutants:
        for name in dict.fromkeys(_NAMED.findall(mutant.origin)):
            found.setdefault(name, []).append(mutant.name)
    return found


def lines() -> Iterator[str]:
    """The page."""
    known = list(mutants().values())
    found, reason = doing(known), unmutated()
    yield from (f"# All {len(known)} mutants", "", "## The seed's weaknesses", "")
    yield from _origins(("weakness", "what is wrong", "mutants"), weaknesses(), found, reason)
    yield from ("", "## gVisor's history", "")
    yield from _origins(("commit", "what it fixed", "mutants"), history(), found, reason)
    yield from ("", "## Each mutant", "")
    rows = ((f"`{one.name}`", plain(one.about), plain(one.origin), plain(" ".join(one.caught_by))) for one in known)
    yield from table(("mutant", "what is wrong", "where it happened", "caught by"), rows)


def _origins(
    head: Iterable[str], known: Mapping[str, str], found: Mapping[str, list[str]], reason: Mapping[str, str]
) -> Iterator[str]:
    rows = (
        (name, plain(text), code(found[name]) if name in found else f"none: {plain(reason.get(name, 'not yet'))}")
        for name, text in known.items()
    )
    return table(head, rows)
