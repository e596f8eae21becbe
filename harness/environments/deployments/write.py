"""Write a draft as a profile, with its filter beside it and what it lacks as comments."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tomlkit
from tomlkit import TOMLDocument

from worldswitch.harness.environments.deployments.document import DeploymentError
from worldswitch.harness.environments.deployments.draft import Draft
from worldswitch.harness.environments.profiles import profile as profiles
from worldswitch.harness.environments.profiles.profile import ProfileError

TABLES = ("namespaces", "sysctls", "ulimits", "limits", "mounts")  #: at the end of the file
NAME = re.compile("[a-z0-9][a-z0-9-]*")


def write(draft: Draft, name: str, folder: Path) -> list[Path]:
    """Write NAME.toml, and NAME.json if there is a filter, into a folder; returns the files.

    Raises `DeploymentError` if a file is there already, or if the deployment has settings that no profile can have.
    """
    if not folder.is_dir():
        raise DeploymentError(str(folder), "", "is not a folder; create it first")
    files = {path.name: content for path, content in _files(draft, name)}
    for file in files:
        if (folder / file).exists():
            raise DeploymentError(str(folder / file), "", "is there already; choose another --name or -o")
    _check(draft, files, f"{name}.toml")
    for file, content in files.items():
        (folder / file).write_text(content)
    return [folder / file for file in files]


def name_of(draft: Draft) -> str:
    """Return a profile's name after a container's."""
    return re.sub("[^a-z0-9]+", "-", draft.name.lower()).strip("-") or "container"


def _files(draft: Draft, name: str) -> Iterator[tuple[Path, str]]:
    fields = draft.settled()
    if draft.filter is not None:
        fields["seccomp"] = f"{name}.json"
    yield Path(f"{name}.toml"), tomlkit.dumps(_document(draft, name, fields))
    if draft.filter is not None:
        yield Path(f"{name}.json"), json.dumps(draft.filter, indent="\t") + "\n"


def _document(draft: Draft, name: str, fields: dict[str, Any]) -> TOMLDocument:
    made = tomlkit.document()
    made.add(tomlkit.comment(_line(f"From {draft.origin}, by `worldswitch profile from`.")))
    if draft.lost:
        made.add(tomlkit.comment("Not carried over:"))
        for one in draft.lost:
            made.add(tomlkit.comment(_line(f"- {one}")))
    made.add(tomlkit.nl())
    made["name"] = name
    made["about"] = _line(f"What {draft.origin} may do.")
    for field in sorted(fields, key=lambda field: (field in TABLES, TABLES.index(field) if field in TABLES else 0)):
        if field != "mounts":
            made[field] = fields[field]
    if "mounts" in fields:
        made["mounts"] = _tables(fields["mounts"])
    return made


def _tables(mounts: list[dict[str, Any]]) -> Any:
    listed = tomlkit.aot()
    for mount in mounts:
        table = tomlkit.table()
        table.update(mount)
        listed.append(table)
    return listed


def _line(text: str) -> str:
    """Return a text without line breaks and other characters that a comment may not have."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def _check(draft: Draft, files: dict[str, str], main: str) -> None:
    """Load the profile from a temporary folder, so that an invalid one leaves no file."""
    with tempfile.TemporaryDirectory() as scratch:
        for file, content in files.items():
            Path(scratch, file).write_text(content)
        try:
            profiles.load(Path(scratch, main))
        except ProfileError as problem:
            why = str(problem).replace(f"{scratch}/", "")
            raise DeploymentError(draft.origin, "", f"no profile can have its settings: {why}") from problem
