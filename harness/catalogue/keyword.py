"""Selects trials by a keyword expression, `-k`, as pytest does, but without collecting."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import replace

from _pytest.mark.expression import Expression  # pytest has no public form

from worldswitch.harness.catalogue.loading import NotFound
from worldswitch.harness.catalogue.scenarios import Scenario
from worldswitch.harness.errors import CouldNotRun
from worldswitch.harness.nearest import hint

_OPERATORS = ("and", "or", "not")


class Keyword:
    """A compiled expression; one without words selects everything."""

    def __init__(self, text: str) -> None:
        """Compile `text`; raises `CouldNotRun` for invalid syntax."""
        self.text = text.strip()
        try:
            self._expression = Expression.compile(self.text) if self.text else None
        except Exception as problem:  # a class of its own in each version of pytest
            raise CouldNotRun(
                f"-k {self.text!r} is not a keyword expression: {problem}; it is made of words, and, or, not, "
                "and parentheses: -k 'signal and not vsyscall'"
            ) from problem

    def selects(self, names: Collection[str]) -> bool:
        """True if the expression holds for something with these names."""
        return self._expression is None or self._expression.evaluate(_Matcher(names))

    @property
    def words(self) -> list[str]:
        """The words that the expression looks for."""
        return [word for word in re.findall(r"[^\s()]+", self.text) if word not in _OPERATORS]


class _Matcher:
    """Says whether a word is part of one of the names; case does not matter."""

    def __init__(self, names: Collection[str]) -> None:
        self._names = [name.lower() for name in names]

    def __call__(self, name: str, /, **values: object) -> bool:
        if values:
            raise CouldNotRun(f"-k: {name}(...) has arguments; a keyword is a word")
        return any(name.lower() in one for one in self._names)


def select(scenarios: Iterable[Scenario], text: str) -> list[Scenario]:
    """Return the scenarios with trials that `text` selects, and of each only those trials.

    Raises `CouldNotRun` for invalid syntax, and `NotFound` if it selects nothing.
    """
    keyword, every = Keyword(text), list(scenarios)
    found = [one for scenario in every if (one := _part(scenario, keyword)).variants]
    if not found:
        raise NotFound(
            f"-k {text!r} matches none of {len(every)} scenarios{_hint(keyword, every)}; "
            "`worldswitch list scenarios -k WORD` shows what a word matches"
        )
    return found


def _part(scenario: Scenario, keyword: Keyword) -> Scenario:
    """Return the scenario with the trials that `keyword` selects."""
    function = scenario.name.partition("::")[2]
    shared = (f"{scenario.family}.py", *scenario.keywords)
    kept = [one for one in scenario.variants if keyword.selects((function + one, *shared))]
    return replace(scenario, variants=tuple(kept))


def _hint(keyword: Keyword, every: Iterable[Scenario]) -> str:
    """Return a suggestion for the first word that no scenario has."""
    known = {word for one in every for word in re.split(r"::|_", one.name) if len(word) > 2}
    for word in keyword.words:
        if not any(word.lower() in one for one in known):
            return hint(word, known)
    return ""
