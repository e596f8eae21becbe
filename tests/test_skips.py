"""A run with a skip that no entry allows fails and names the test and the reason."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import skips
from paths import PYTHONPATH, TESTS
from skips import Entry

FILES = {
    "test_one.py": "import pytest\n\ndef test_passes(): pass\n\ndef test_skips(): pytest.skip('no reason')\n",
    "test_whole.py": "import pytest\npytest.skip('not today', allow_module_level=True)\n",
    "test_expected.py": "import pytest\n\n@pytest.mark.xfail\ndef test_fails(): assert False\n",
}
PLUGIN = """
import skips
from skips import Entry
skips.CONDITIONS = {"always": lambda: True, "never": lambda: False}
def pytest_configure(config):
    config.pluginmanager.register(skips.Skips([Entry(%r, %r, "")]))
"""


def run(folder: Path, file: str, allowed: tuple[str, ...] = (), when: str = "always") -> tuple[int, str]:
    """Run one of `FILES`; return the exit status and the output."""
    (folder / file).write_text(FILES[file])
    (folder / "conftest.py").write_text(PLUGIN % (allowed, when))
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-c", os.devnull, str(folder / file)]
    environment = os.environ | {"PYTHONPATH": PYTHONPATH}
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment, cwd=folder, check=False)
    return done.returncode, done.stdout


@pytest.mark.parametrize(("file", "why"), [("test_one.py", "no reason"), ("test_whole.py", "not today")])
def test_a_skip_that_no_entry_allows_fails_the_run(tmp_path: Path, file: str, why: str) -> None:
    status, output = run(tmp_path, file)
    assert status == 1
    assert "not allowed by allowed_skips.toml" in output
    assert why in output


def test_an_entry_allows_its_tests_where_its_condition_holds(tmp_path: Path) -> None:
    assert run(tmp_path, "test_one.py", ("test_one.py::test_skips",))[0] == 0
    assert run(tmp_path, "test_one.py", ("test_one.py::test_skips",), "never")[0] == 1
    assert run(tmp_path, "test_one.py", ("test_other.py::*",))[0] == 1


def test_an_expected_failure_is_no_skip(tmp_path: Path) -> None:
    assert run(tmp_path, "test_expected.py")[0] == 0


def test_the_listed_tests_exist() -> None:
    for entry in skips.load():
        assert entry.reason
        for pattern in entry.tests:
            file, _, name = pattern.partition("::")
            assert f"def {name.rstrip('*')}" in (TESTS / file).read_text() or name == "*", pattern


def test_only_continuous_integration_loads_the_plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    assert not list(skips.plugins())
    monkeypatch.setenv("CI", "true")
    assert list(skips.plugins())


def test_an_unknown_condition_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "list.toml"
    file.write_text('[[skip]]\ntests = ["a"]\nwhen = "it rains"\nreason = "wet"\n')
    with pytest.raises(KeyError, match="it rains"):
        skips.load(file)
    assert Entry(("a",), "not root", "").when in skips.CONDITIONS
