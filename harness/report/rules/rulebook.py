"""The files of rules as texts, to be edited before they are written, and the rules in them that speak of a cell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from worldswitch.harness.environments.profiles import profile as profiles
from worldswitch.harness.expectations import rules
from worldswitch.harness.expectations.judgement import Expectation
from worldswitch.harness.results.reader import KeptCell, KeptRun


@dataclass(frozen=True)
class Placed:
    """A rule, and where it stands."""

    path: Path
    index: int  #: from 0, among the rules of its file
    rule: Expectation


@dataclass(frozen=True)
class Rulebook:
    """Files by their paths."""

    own: tuple[Path, ...]  #: that the run was given; they come first
    profiles: Mapping[str, Path]  #: by the profile's name
    files: tuple[Path, ...]  #: of `containers/expectations`, in their order
    texts: Mapping[Path, str]

    def with_text(self, path: Path, text: str) -> Rulebook:
        """The same, with another text of a file, or a new file."""
        files = self.files if path in self.texts else tuple(sorted((*self.files, path)))
        return replace(self, files=files, texts={**self.texts, path: text})

    def speaking_of(self, cell: KeptCell) -> list[Placed]:
        """The rules that may hold in a cell, in the order in which they decide."""
        profile = self.profiles.get(cell.plan.profile.get("name", ""))
        paths = (*self.own, *((profile,) if profile else ()), *self.files)
        about = [path for path in paths if self.platform(path) in ("", cell.name.platform)]
        return [placed for path in about for placed in self.placed(path)]

    def platform(self, path: Path) -> str:
        """The platform that a file is about; "" if it is about every one."""
        return str(self._content(path).get("platform", ""))

    def placed(self, path: Path) -> list[Placed]:
        """The rules of a file.  Raises `RuleError`."""
        content = self._content(path)
        read = tuple(rules.read(path, content.get("expect", []), "any"))
        return [Placed(path, index, rule) for index, rule in enumerate(rules.numbered(path.name, read))]

    def _content(self, path: Path) -> dict[str, Any]:
        return rules.parse(path, self.texts[path].encode())


def of(run: KeptRun) -> Rulebook:
    """The rules that come with the package, and those of the profiles of a run.  Raises `RuleError`."""
    named: dict[str, Path] = {}
    for cell in run.cells:
        if name := cell.plan.profile.get("name"):
            named[name] = _profile(name, run)
    packaged = tuple(file.path for file in rules.packaged())
    own = tuple(file.path for file in rules.load_all(run.manifest.request.get("rules", ())))
    texts = {path: path.read_text() for path in (*own, *named.values(), *packaged)}
    return Rulebook(own, named, packaged, texts)


def _profile(name: str, run: KeptRun) -> Path:
    """The file of a profile: one that the run was given by its path, or one of the package's."""
    asked = [Path(one) for one in run.manifest.request.get("profiles", ()) if one.endswith(f"{name}.toml")]
    found = next((path for path in asked if path.is_file()), profiles.available().get(name))
    if found is None:
        raise rules.RuleError(f"{name}.toml", None, "", "the run had this profile, and it is no longer there")
    try:
        msgspec.toml.decode(found.read_bytes())
    except msgspec.DecodeError as problem:
        raise rules.RuleError(found, None, "", f"not TOML: {problem}") from problem
    return found
