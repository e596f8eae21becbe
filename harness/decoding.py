"""Decodes JSON and TOML from files; whatever is wrong with a text is a `msgspec.DecodeError`.

msgspec alone raises RecursionError for deep nesting, and ValueError for a number of thousands of digits or text that is
not UTF-8.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar, overload

import msgspec

Decoded = TypeVar("Decoded")

MOST_DOTS = 30  #: in a line of TOML: the parser takes quadratic time for a key with many parts


@overload
def from_json(content: bytes | str, kind: type[Decoded]) -> Decoded: ...
@overload
def from_json(content: bytes | str, kind: Any) -> Any: ...
def from_json(content: bytes | str, kind: Any) -> Any:
    """Return the value of a JSON text.  Raises `msgspec.DecodeError`."""
    with _plain_errors():
        return msgspec.json.decode(content, type=kind)


def from_toml(content: bytes, kind: type[Decoded]) -> Decoded:
    """Return the value of a TOML text.  Raises `msgspec.DecodeError`."""
    for number, line in enumerate(content.splitlines(), 1):
        if line.count(b".") > MOST_DOTS:
            raise msgspec.DecodeError(f"line {number} has more than {MOST_DOTS} dots")
    if content.startswith(b"\xef\xbb\xbf"):
        raise msgspec.DecodeError("it begins with a byte order mark (BOM); save it as UTF-8 without BOM")
    with _plain_errors():
        return msgspec.toml.decode(content, type=kind)


@contextmanager
def _plain_errors() -> Iterator[None]:
    try:
        yield
    except msgspec.DecodeError:
        raise
    except RecursionError:
        raise msgspec.DecodeError("its values are nested too deeply") from None
    except ValueError as problem:
        raise msgspec.DecodeError(str(problem)) from problem
