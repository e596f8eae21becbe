"""Decodes the YAML documents of a file as Kubernetes does: no key twice, aliases within reason."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import yaml

from worldswitch.harness.environments.filters.findings import Place

MOST_VALUES = 1_000_000  #: with every alias written out
MOST_CHARACTERS = 256 << 10  #: PyYAML reads about 50 000 in a second
MOST_DIGITS = 1_000  #: of a number: PyYAML takes quadratic time for one in base 60
MOST_DEPTH = 50  #: of brackets: PyYAML looks at every open one for each token
MOST_MERGED = 10_000  #: keys of a mapping, and the mappings that one may merge

_NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")

#: What PyYAML raises for a value that its tag cannot have, such as `!!bool x`, and for one out of range.
_BAD_VALUES = (ValueError, ArithmeticError, LookupError, AttributeError, TypeError)


class NotYaml(ValueError):
    """A text is no YAML, or too large or deep; the message has the line if it is known."""


def load(text: str) -> list[Any]:
    """Return the documents.  Raises `NotYaml`."""
    if len(text) > MOST_CHARACTERS:
        most = f"{MOST_CHARACTERS >> 10} KiB"
        raise NotYaml(f"YAML of more than {most}: it takes too long to read; keep only what is needed")
    try:
        documents = list(yaml.load_all(text, Loader=_Loader))
    except yaml.YAMLError as problem:
        raise NotYaml(f"{_line(problem)}not YAML: {_reason(problem)}{_advice(text)}") from problem
    except RecursionError:
        raise NotYaml("its objects and lists are nested too deeply") from None
    except _BAD_VALUES as problem:
        raise NotYaml(f"not YAML: {problem}") from problem
    if sum(_size(one, {}) for one in documents) > MOST_VALUES:
        raise NotYaml("its aliases make it too large")
    return documents


def decode(text: str, place: Place) -> list[Any]:
    """Return the documents; empty after an error."""
    try:
        return load(text)
    except NotYaml as problem:
        place.error(str(problem))
        return []


class _Loader(yaml.SafeLoader):
    """Refuses a mapping with the same key twice, and what takes too much time or memory."""

    def fetch_flow_collection_start(self, TokenClass: Any) -> None:  # noqa: N803 - PyYAML's name
        if self.flow_level >= MOST_DEPTH:
            raise RecursionError
        super().fetch_flow_collection_start(TokenClass)

    def construct_scalar(self, node: yaml.ScalarNode | yaml.MappingNode) -> Any:
        if node.tag in _NUMBERS and len(node.value) > MOST_DIGITS:
            raise _error(f"a number of {len(node.value)} characters", node)
        return super().construct_scalar(node)

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        for key, value in node.value:
            if key.tag == "tag:yaml.org,2002:merge" and len(value.value) > MOST_MERGED // 100:
                raise _error("too many merged mappings", node)
        super().flatten_mapping(node)
        if len(node.value) > MOST_MERGED:
            raise _error(f"a mapping of more than {MOST_MERGED} keys", node)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                if key.value in seen:
                    raise _error(f"`{key.value}` twice", key)
                seen.add(key.value)
        return super().construct_mapping(node, deep)


def _error(problem: str, node: yaml.Node) -> yaml.constructor.ConstructorError:
    return yaml.constructor.ConstructorError(None, None, problem, node.start_mark)


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
