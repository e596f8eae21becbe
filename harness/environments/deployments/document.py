"""A deployment's file as nested values, each of which knows its file and field for error messages."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from worldswitch.harness.environments.filters import yaml_documents
from worldswitch.harness.errors import CouldNotRun
from worldswitch.harness.linux import regular_file

FORMATS = "expected the output of `docker inspect`, a pod or workload of Kubernetes, a compose file, or a config.json"


class DeploymentError(CouldNotRun, ValueError):
    """A deployment cannot be read; names the file, the field and the problem."""

    def __init__(self, file: str, field: str, problem: str) -> None:
        super().__init__(f"{file}: {field}: {problem}" if field else f"{file}: {problem}")


class Value:
    """A value of a document; absent fields are values without content."""

    def __init__(self, file: str, content: object, field: str = "") -> None:
        self.file = file
        self.field = field
        self.content = content

    def __bool__(self) -> bool:
        """True if there is any content; False and 0 are content."""
        return self.content is not None and self.content not in ("", [], {})

    def __getitem__(self, name: str) -> Value:
        """Return a field of a table."""
        return Value(self.file, self.table().get(name), f"{self.field}.{name}".lstrip("."))

    def at(self, *names: str) -> Value:
        """Return a field of nested tables."""
        found = self
        for name in names:
            found = found[name]
        return found

    def wrong(self, problem: str) -> DeploymentError:
        """Return an error that names this field."""
        return DeploymentError(self.file, self.field, problem)

    def _expected(self, what: str) -> DeploymentError:
        return self.wrong(f"expected {what}, got {json.dumps(self.content, default=str)[:60]}")

    def table(self) -> dict[str, Any]:
        """Return a table, empty if absent."""
        if self.content is None:
            return {}
        if not isinstance(self.content, dict):
            raise self._expected("a table")
        return {str(name): value for name, value in self.content.items()}

    def members(self) -> Iterator[tuple[str, Value]]:
        """Yield the names and values of a table."""
        yield from ((name, self[name]) for name in self.table())

    def rows(self) -> list[Value]:
        """Return the members of a list, empty if absent."""
        if self.content is None:
            return []
        if not isinstance(self.content, list):
            raise self._expected("a list")
        return [Value(self.file, one, f"{self.field}[{number}]") for number, one in enumerate(self.content)]

    def text(self, absent: str = "") -> str:
        """Return a text or a number as text."""
        if self.content is None:
            return absent
        if isinstance(self.content, bool) or not isinstance(self.content, str | int | float):
            raise self._expected("a text")
        if "${" in (text := str(self.content)) and not self.file.endswith(".json"):
            raise self.wrong(f"{text!r} has a variable; `docker compose config` prints the file with their values")
        return text

    def texts(self) -> list[str]:
        """Return a list of texts; a single text is a list of one."""
        return [self.text()] if isinstance(self.content, str) else [one.text() for one in self.rows()]

    def number(self, absent: int = 0) -> int:
        """Return an integer."""
        if self.content is None:
            return absent
        try:
            return int(self.text())
        except ValueError:
            raise self._expected("an integer") from None

    def flag(self, *, absent: bool = False) -> bool:
        """Return true or false."""
        if self.content is None:
            return absent
        if not isinstance(self.content, bool):
            raise self._expected("true or false")
        return self.content


def read(path: Path) -> list[Value]:
    """Return the documents of a JSON or YAML file.  Raises `DeploymentError`."""
    text = _text(path)
    is_json = path.suffix == ".json" or text.lstrip()[:1] in ("{", "[")
    try:
        documents = [json.loads(text)] if is_json else yaml_documents.load(text)
    except json.JSONDecodeError as problem:
        raise DeploymentError(str(path), f"line {problem.lineno}", f"not JSON: {problem.msg}") from problem
    except RecursionError:
        raise DeploymentError(str(path), "", "is nested too deeply") from None
    except ValueError as problem:  # no YAML, or an integer of thousands of digits
        raise DeploymentError(str(path), "", str(problem)) from problem
    found = [Value(str(path), document) for document in documents if document is not None]
    if not found:
        raise DeploymentError(str(path), "", f"is empty; {FORMATS}")
    return found


def _text(path: Path) -> str:
    try:
        return regular_file.read(path).decode("utf-8-sig")
    except OSError as problem:
        raise DeploymentError(str(path), "", f"cannot be read: {problem.strerror}; {FORMATS}") from problem
    except UnicodeDecodeError as problem:
        raise DeploymentError(str(path), "", f"is no text in UTF-8: {problem.reason}") from problem
