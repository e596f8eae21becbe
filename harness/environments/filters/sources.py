"""Finds the filters in a file: a filter itself, a container's config.json, manifests of Kubernetes in YAML or JSON."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from worldswitch.harness.environments.filters import formats, json_text, yaml_documents
from worldswitch.harness.environments.filters.findings import Place
from worldswitch.harness.environments.filters.go_types import Decoder

YAML = (".yaml", ".yml")
SUFFIXES = (".json", *YAML)


@dataclass(frozen=True, slots=True)
class Source:
    """A filter as it is in a file."""

    content: Any
    form: Decoder
    place: Place
    name: str = ""  #: of the manifest
    verbatim: bool = False  #: an engine reads the file as it is


def find(content: bytes, suffix: str, place: Place) -> list[Source]:
    """Return the filters of a file's content; empty after an error."""
    text = json_text.decode_utf8(content, place)
    if text is None:
        return []
    if suffix in YAML:
        return _of_yaml(text, place)
    decoded = json_text.decode(text, place)
    if decoded is ...:
        return []
    if isinstance(decoded, dict) and "kind" in decoded and not _has(decoded, *_FILTER):
        return _of_manifests([decoded], place)
    return [_of_json(decoded, place)]


def _of_json(content: Any, place: Place) -> Source:
    if not isinstance(content, dict) or _has(content, *_FILTER) or not _has(content, *_CONFIG):
        return Source(content, formats.ENGINE, place, verbatim=True)
    place.note(
        "a container's config.json, whose filter is `linux.seccomp`; an engine that is given this file as a filter "
        "finds none in it, and runs the container without one"
    )
    return _seccomp_of(content, place)


_FILTER = ("defaultAction", "syscalls")
_CONFIG = ("ociVersion", "linux")


def _seccomp_of(config: dict[str, Any], place: Place) -> Source:
    linux = config.get("linux") or {}
    return Source(
        (linux.get("seccomp") or {}) if isinstance(linux, dict) else linux,
        formats.OCI,
        place.into("linux").into("seccomp"),
    )


def _has(content: dict[str, Any], *names: str) -> bool:
    return not {str(name).casefold() for name in content}.isdisjoint(name.casefold() for name in names)


def _of_yaml(text: str, place: Place) -> list[Source]:
    before = len(place.findings)
    documents = [one for one in yaml_documents.decode(text, place) if one is not None]
    return _of_manifests(documents, place) if len(place.findings) == before else []


def _of_manifests(documents: list[Any], place: Place) -> list[Source]:
    found: list[Source] = []
    before = len(place.findings)
    for document in documents:
        if isinstance(document, dict) and _has(document, *_FILTER):
            found.append(Source(document, formats.ENGINE, place))
        else:
            found += _of_manifest(document, place)
    if not found and len(place.findings) == before:
        kinds = [str(one.get("kind")) if isinstance(one, dict) else "no mapping" for one in documents]
        place.error(
            "has no filter; expected a SeccompProfile, or a ConfigMap with filters in JSON, and "
            + (f"found {', '.join(kinds)}" if kinds else "the file is empty")
        )
    return found


def _of_manifest(document: Any, place: Place) -> Iterator[Source]:
    if not isinstance(document, dict):
        return
    metadata = document.get("metadata")
    name = str(metadata.get("name") or "") if isinstance(metadata, dict) else ""
    match document.get("kind"):
        case "SeccompProfile":
            yield Source(document.get("spec") or {}, formats.OPERATOR, place.into("spec"), name)
        case "ConfigMap" if isinstance(document.get("data"), dict):
            for key, value in document["data"].items():
                yield from _of_entry(str(key), value, place.into("data").into(str(key)))
        case "List" if isinstance(document.get("items"), list):
            for number, item in enumerate(document["items"]):
                yield from _of_manifest(item, place.into("items").at(number))


def _of_entry(key: str, value: Any, place: Place) -> Iterator[Source]:
    """A ConfigMap's entry is a filter if it is named so or looks like one."""
    if not isinstance(value, str) or not (key.endswith(".json") or value.lstrip().startswith("{")):
        return
    content = json_text.decode(value, place)
    if isinstance(content, dict) and (_has(content, *_FILTER) or not content):
        yield Source(content, formats.node, place, key)
