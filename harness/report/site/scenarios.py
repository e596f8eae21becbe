"""The site's page of scenarios: all of them by family, the ids without one, and the clauses that none cites."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from itertools import groupby

from worldswitch.harness.catalogue import clauses, reason_lists
from worldswitch.harness.catalogue import scenarios as catalogue
from worldswitch.harness.catalogue.mutants import Mutant, mutants
from worldswitch.harness.catalogue.scenarios import Scenario
from worldswitch.harness.report.markdown_table import code, plain, table

UNWRITTEN = "unwritten.toml"  #: in the folder of the scenarios: ids that cannot be scenarios, and why

COLUMNS = ("id", "scenario", "based on", "needs", "must catch the mutants")


def unwritten() -> dict[str, str]:
    """The ids that cannot be scenarios, and why."""
    return reason_lists.load(catalogue.SCENARIOS, UNWRITTEN)


def lines() -> Iterator[str]:
    """The page."""
    scenarios = catalogue.scenarios()
    known = list(mutants().values())
    ids = {one for scenario in scenarios for one in scenario.ids}
    yield from (f"# All {len(scenarios)} scenarios", "", f"They have {len(ids)} catalogue ids.")
    for family, members in groupby(scenarios, lambda one: one.family):
        yield from ("", f"## {family}", "")
        yield from table(COLUMNS, (_row(one, known) for one in members))
    yield from ("", "## Ids without a scenario", "")
    yield from _list(unwritten(), "None.")
    yield from ("", "## Clauses that no scenario cites", "")
    yield from _list(clauses.uncited(scenarios), "Every clause of `clauses.toml` is cited.")


def _row(scenario: Scenario, mutants: Collection[Mutant]) -> Sequence[str]:
    sentence = scenario.name.partition("::")[2].replace("_", " ")
    naming = [mutant.name for mutant in mutants if any(map(scenario.is_called, mutant.caught_by))]
    return (
        " ".join(scenario.ids),
        f"**{sentence}.** {plain(scenario.claim)}",
        plain(", ".join(scenario.clauses)),
        code(scenario.needs),
        code(naming) or ("(about the kernel alone)" if scenario.subject == "kernel" else ""),
    )


def _list(said: dict[str, str], nothing: str) -> Iterator[str]:
    if not said:
        yield nothing
    for name, text in said.items():
        yield f"- `{name}`: {plain(text)}"
