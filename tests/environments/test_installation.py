"""Commands that complete an installation work for a checkout, a wheel and a clone, and need no index."""

from __future__ import annotations

import importlib.util
import json
import sys
from importlib import metadata

import pytest
from packaging.requirements import Requirement
from paths import ROOT

from worldswitch.harness.cli.main import main
from worldswitch.harness.environments import installation

REQUIRES = ["msgspec>=0.19", "rich>=13.7", 'msgspec>=0.19; extra == "cell"', 'numpy>=1.26; extra == "bench"']


class Installed:
    """The metadata of an installed package."""

    def __init__(self, origin: dict[str, object] | None) -> None:
        self._origin = origin

    def read_text(self, name: str) -> str | None:
        assert name == "direct_url.json"
        return self._origin and json.dumps(self._origin)


@pytest.fixture
def wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installation, "checkout", lambda: None)
    monkeypatch.setattr(metadata, "requires", lambda name: REQUIRES)


def test_the_tests_run_from_a_checkout() -> None:
    assert installation.checkout() == ROOT


def test_each_requirement_of_a_cell_is_one_of_the_package() -> None:
    project = installation._project(ROOT)
    assert set(installation.requirements("cell")) < set(project["dependencies"])


def test_a_module_is_known_for_each_requirement() -> None:
    """The tests install every requirement; a name whose module is not found would always be reported as missing."""
    assert installation.missing("cell") == []
    assert installation.missing("bench") == []


@pytest.mark.usefixtures("wheel")
def test_the_requirements_of_a_wheel_are_in_its_metadata() -> None:
    assert installation.requirements("cell") == ["msgspec>=0.19"]
    assert installation.requirements("bench") == ["numpy>=1.26"]


@pytest.mark.usefixtures("wheel")
@pytest.mark.parametrize(
    ("origin", "words"),
    [
        ({"url": "file:///there/w.whl", "archive_info": {}}, ["--force-reinstall", "file:///there/w.whl"]),
        ({"url": "https://there/w", "vcs_info": {"vcs": "git"}}, ["--force-reinstall", "git+https://there/w"]),
    ],
)
def test_a_package_is_installed_again_from_where_it_came(
    origin: dict[str, object], words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metadata, "distribution", lambda name: Installed(origin))
    assert installation.reinstall() == installation.pip_install(*words)


@pytest.mark.usefixtures("wheel")
def test_no_command_is_made_up_for_an_unknown_origin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "distribution", lambda name: Installed(None))
    assert "pip" not in installation.reinstall()


def test_a_checkout_is_installed_again_in_place() -> None:
    assert installation.reinstall().endswith(f"-m pip install -e {ROOT}")


def test_bench_without_its_packages_names_them_and_no_package_of_ours(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "scipy" else found(name))
    assert main(["bench", "--quick"]) == 2
    error = capsys.readouterr().err
    command = error.rpartition("install them: ")[2].strip()
    assert command.startswith(f"{sys.executable} -m pip install ")
    assert [Requirement(word.strip("'")).name for word in command.split()[4:]] == ["scipy"]


def test_no_file_sends_users_to_an_index_for_this_package() -> None:
    files = [*(ROOT / "harness").rglob("*.py"), *(ROOT / "docs").glob("*.md"), *ROOT.glob("*.md")]
    assert [path for path in files if "install worldswitch" in path.read_text().replace('"', "")] == []
