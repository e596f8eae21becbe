"""The texts of the files of rules, edited in memory, and the rules in them that apply to a cell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from worldswitch.harness.environments.profiles import profile as profiles
from worldswitch.harness.expectations import rules
from worldswitch.harness.expectations.judgement import Expectation
from worldswitch.harness.results.reader import KeptCell, KeptRun


@dataclass(frozen=True)
class PlacedRule:
    """A rule and its position."""

    path: Path
    index: int  #: from 0, among the rules of its file
    rule: Expectation


@dataclass(frozen=True)
class Rulebook:
    """Files of rules by path."""

    own: tuple[Path, ...]  #: the run's `--rules`, which take precedence
    profiles: Mapping[str, Path]  #: by the profile's name
    files: tuple[Path, ...]  #: of `containers/expectations`, in order of precedence
    texts: Mapping[Path, str]

    def with_text(self, path: Path, text: str) -> Rulebook:
        """Return a copy in which the file, which may be new, has this text."""
        files = self.files if path in self.texts else tuple(sorted((*self.files, path)))
        return replace(self, files=files, texts={**self.texts, path: text})

    def applying_to(self, cell: KeptCell) -> list[PlacedRule]:
        """Return the rules that may hold in a cell, in order of precedence."""
        profile = self.profiles.get(cell.plan.profile.get("name", ""))
        paths = (*self.own, *((profile,) if profile else ()), *self.files)
        about = [path for path in paths if self.platform(path) in ("", cell.name.platform)]
        return [placed for path in about for placed in self.placed(path)]

    def platform(self, path: Path) -> str:
        """Return the platform that a file is about; "" if it is about all."""
        return str(self._content(path).get("platform", ""))

    def placed(self, path: Path) -> list[PlacedRule]:
        """Return the rules of a file; raises `RuleError`."""
        content = self._content(path)
        read = tuple(rules.read(path, content.get("expect", []), "any"))
        return [PlacedRule(path, index, rule) for index, rule in enumerate(rules.numbered(path.name, read))]

    def _content(self, path: Path) -> dict[str, Any]:
        return rules.parse(path, self.texts[path].encode())


def of(run: KeptRun) -> Rulebook:
    """Return the rules of the package, of the run's `--rules`, and of its profiles; raises `RuleError`."""
    named: dict[str, Path] = {}
    for cell in run.cells:
        if name := cell.plan.profile.get("name"):
            named[name] = _profile(name, run)
    packaged = tuple(file.path for file in rules.packaged())
    own = tuple(file.path for file in rules.load_all(run.manifest.request.get("rules", ())))
    texts = {path: rules.text(path).decode() for path in (*own, *named.values(), *packaged)}
    return Rulebook(own, named, packaged, texts)


def _profile(name: str, run: KeptRun) -> Path:
    """The file of a profile: the path in the run's request, or the package's file."""
    paths = [Path(one) for one in run.manifest.request.get("profiles", ()) if one.endswith(f"{name}.toml")]
    found = next((path for path in paths if path.is_file()), profiles.available().get(name))
    if found is None:
        raise rules.RuleError(f"{name}.toml", None, "", "the run used this profile, but the file no longer exists")
    rules.parse(found, rules.text(found))
    return found
