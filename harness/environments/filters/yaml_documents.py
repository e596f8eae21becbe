"""Decodes the YAML documents of a file as Kubernetes does: no key twice, aliases within reason."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import yaml

from worldswitch.harness.environments.filters.findings import Place

MOST_VALUES = 1_000_000  #: with every alias written out


def decode(text: str, place: Place) -> list[Any]:
    """Return the documents; empty after an error."""
    try:
        documents = list(yaml.load_all(text, Loader=_Loader))
        if sum(_size(one, {}) for one in documents) <= MOST_VALUES:
            return documents
        place.error("not a filter: its aliases make it too large")
    except yaml.YAMLError as problem:
        place.error(f"{_line(problem)}not YAML: {_reason(problem)}{_advice(text)}")
    except RecursionError:
        place.error("not a filter: its objects and lists are nested too deeply")
    except ValueError as problem:  # such as an impossible date
        place.error(f"not YAML: {problem}")
    return []


class _Loader(yaml.SafeLoader):
    """Refuses a mapping with the same key twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(None, None, f"`{key.value}` twice", key.start_mark)
                seen.add(key.value)
        return super().construct_mapping(node, deep)


def _size(value: Any, known: dict[int, int]) -> int:
    """The number of values in `value`, aliases written out; infinite nesting exceeds every limit."""
    if not isinstance(value, dict | list):
        return 1
    if id(value) not in known:
        known[id(value)] = MOST_VALUES + 1  # in force while its parts are counted: it contains itself
        parts = value.values() if isinstance(value, dict) else value
        known[id(value)] = 1 + sum(_size(one, known) for one in parts)
    return known[id(value)]


def _line(problem: yaml.YAMLError) -> str:
    mark = getattr(problem, "problem_mark", None)
    return f"line {mark.line + 1}: " if mark else ""


def _reason(problem: yaml.YAMLError) -> str:
    return getattr(problem, "problem", None) or str(problem).partition("\n")[0]


def _advice(text: str) -> str:
    return "; render the template first, with `helm template`" if "{{" in text else ""
