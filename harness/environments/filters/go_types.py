"""Decodes JSON values into the types of the engines' Go structs, as Go's decoder does.

A key matches a field without regard to case, null is as good as absent, and a wrong type is an error.  Go ignores
unknown keys silently; here each is a warning.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeAlias

from worldswitch.harness.environments.filters.findings import Place, nearest

#: Returns the value, or None after an error.
Decoder: TypeAlias = Callable[[Any, Place], Any]

WORD = 1 << 64
_NUMBER = "a number"
_JSON_TYPES = {str: "a string", bool: "a boolean", int: _NUMBER, float: _NUMBER, list: "a list", dict: "an object"}
#: Keys that people use for remarks.
_REMARKS = frozenset(("$schema", "comment", "description", "title"))


def json_type(value: Any) -> str:
    """Return the JSON type of a value, with its article."""
    return _JSON_TYPES.get(type(value), "null" if value is None else "no JSON value")


def text(value: Any, place: Place) -> str | None:
    """Decode a string."""
    if isinstance(value, str):
        return value
    place.error(f"must be a string, and is {json_type(value)}: {value!r:.40}")
    return None


def number(value: Any, place: Place) -> int | None:
    """Decode an unsigned integer of 64 bits."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < WORD:
        return value
    place.error(f"{value!r:.40} is not an integer from 0 to {WORD - 1}")
    return None


def kernel_version(value: Any, place: Place) -> str | None:
    """Decode a version of two numbers of one byte each: "4.8"; empty for every kernel."""
    parts = value.split(".") if isinstance(value, str) else ()
    if value == "":
        place.warning("is empty, and every kernel is new enough")
        return ""
    if (
        len(parts) == 2
        and all(one.isascii() and one.isdecimal() and int(one) < 256 for one in parts)
        and any(int(one) for one in parts)
    ):
        return str(value)
    place.error(f'{value!r:.40} is not a kernel version such as "4.8", a string of exactly two numbers')
    return None


def list_of(element: Decoder) -> Decoder:
    """Return the decoder of a list; an element with an error is None, so that the others keep their places."""

    def decoder(value: Any, place: Place) -> list[Any] | None:
        if not isinstance(value, list):
            place.error(f"must be a list, and is {json_type(value)}")
            return None
        return [element(one, place.at(number)) for number, one in enumerate(value)]

    return decoder


def present(values: Iterable[Any]) -> Iterator[tuple[int, Any]]:
    """Yield the elements of a decoded list that have no error, each with its place."""
    return ((number, one) for number, one in enumerate(values) if one is not None)


def struct(fields: Mapping[str, Decoder], ignored: Mapping[str, str] | None = None) -> Decoder:
    """Return the decoder of an object with these fields; `ignored` says why it does not read some others."""
    spelled = {name.casefold(): name for name in fields}

    def decoder(value: Any, place: Place) -> dict[str, Any] | None:
        if not isinstance(value, dict):
            place.error(f"must be an object, and is {json_type(value)}")
            return None
        found: dict[str, Any] = {}
        for key, one in value.items():
            name = spelled.get(str(key).casefold())
            if not name:
                _unknown(str(key), place, fields, ignored or {})
            elif one is not None and (decoded := fields[name](one, place.into(name))) is not None:
                found[name] = decoded
        return found

    return decoder


def _unknown(key: str, place: Place, fields: Mapping[str, Decoder], ignored: Mapping[str, str]) -> None:
    if why := ignored.get(key):
        place.into(key).warning(why)
    elif key not in _REMARKS and not key.startswith(("_", "//")):
        place.into(key).warning(f"unknown field, which engines ignore{nearest(key, fields)}")
