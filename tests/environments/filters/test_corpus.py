"""Filters in the shapes that people have: each gets exactly the errors and warnings that the index lists."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from paths import TESTS

from worldswitch.harness.environments.filters import filter_file, syscall_names
from worldswitch.harness.report import filter_summary, profile_check

FOLDER = TESTS / "data" / "filters"
INDEX: list[dict[str, Any]] = tomllib.loads((FOLDER / "index.toml").read_text())["filter"]


@pytest.fixture(autouse=True)
def without_libseccomp(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a machine's libseccomp knows differs."""
    monkeypatch.setattr(syscall_names, "libseccomp", lambda: None)


def test_the_index_lists_every_file() -> None:
    assert sorted(entry["file"] for entry in INDEX) == sorted(
        path.name for path in FOLDER.iterdir() if path.name != "index.toml"
    )


@pytest.mark.parametrize("entry", INDEX, ids=lambda entry: str(entry["file"]))
def test_a_filter_has_the_errors_and_warnings_of_the_index(entry: dict[str, Any]) -> None:
    found = profile_check.check(FOLDER / entry["file"])
    assert [one.field for one in found.errors] == entry.get("errors", [])
    assert [one.field for one in found.warnings] == entry.get("warnings", [])
    assert found.status == bool(found.errors)
    assert len(found.what) == (0 if found.errors else entry.get("filters", 1))


@pytest.mark.parametrize("entry", [one for one in INDEX if "ptrace" in one], ids=lambda entry: str(entry["file"]))
def test_the_summary_has_the_answer_to_ptrace(entry: dict[str, Any]) -> None:
    (checked,), _ = filter_file.read(Path(FOLDER, entry["file"]))
    line = filter_summary.summary(checked)
    expected = entry["ptrace"]
    assert line.partition("ptrace: ")[2] == expected or expected in line.partition(":")[0]


@pytest.mark.parametrize("entry", INDEX, ids=lambda entry: str(entry["file"]))
def test_what_an_engine_refuses_is_an_error_and_nothing_else(entry: dict[str, Any]) -> None:
    """A filter that denies the runtime's own calls is valid, and no container starts under it."""
    if entry.get("docker", entry.get("oci")) == "starts":
        assert not entry.get("errors")
    if entry.get("docker") == "refuses":
        assert entry.get("errors") or filter_file.read(FOLDER / entry["file"])[0][0].content["defaultAction"] == (
            "SCMP_ACT_ERRNO"
        )
