"""The documents are true: the sessions they name exist, and CI runs them."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from paths import ROOT

from worldswitch.harness.catalogue import scenarios
from worldswitch.harness.expectations.outcome import Status
from worldswitch.harness.run import request
from worldswitch.harness.verdict import Verdict

README = (ROOT / "README.md").read_text()
CI = (ROOT / ".ci/run").read_text()
SESSIONS = set(re.findall(r"^@nox\.session\ndef (\w+)", (ROOT / "noxfile.py").read_text(), re.MULTILINE))


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", ".ci/run", ".github/workflows/ci.yml"])
def test_every_session_that_is_named_is_on_the_menu(name: str) -> None:
    named = re.findall(r'nox"?\)?"? -s ((?:[a-z]+ ?)+)', (ROOT / name).read_text())
    sessions = {session for words in named for session in words.split()}
    assert sessions, "this test no longer sees how sessions are named"
    assert sessions - {"and"} <= SESSIONS


def test_ci_runs_the_sessions_that_the_readme_names() -> None:
    blocks = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    setup, _, run = blocks[0].strip().rpartition(" && ")
    assert run == ".venv/bin/nox -s scenarios -- --install-engine"
    assert blocks[1].strip() == f"{setup} && .venv/bin/nox -s tests"
    for command in ("tests", "mutants", "scenarios -- --install-engine"):
        assert f".venv/bin/nox -s {command}" in CI
    positions = [CI.index(command) for command in ("-s tests", "-s mutants", "-s scenarios")]
    assert positions == sorted(positions)


def test_soaked_scenarios_exist() -> None:
    (listed,) = re.findall(r"^SOAK = \((.*?)\)", (ROOT / "noxfile.py").read_text(), re.MULTILINE | re.DOTALL)
    names = re.findall(r'"(.+?)"', listed)
    assert names
    assert request.select(scenarios.scenarios(), names)


def test_the_readme_explains_every_verdict_and_exit_status() -> None:
    for verdict in Verdict:
        assert f"`{verdict.value}`" in README
    for status in Status:
        assert f"| {status.value} |" in README


def test_the_links_in_the_documents_exist() -> None:
    for document in [*ROOT.glob("*.md"), *ROOT.glob("*/README.md")]:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", document.read_text()):
            assert (document.parent / target).exists(), f"{document.name} links {target}"


def test_the_reference_s_example_prints_the_documented_output() -> None:
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "reference/README.md").read_text(), re.DOTALL)
    documented = re.findall(r"# (Syscall.*)", code)
    command = [sys.executable, "-P", "-c", code]
    printed = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.splitlines()
    assert printed == documented * 2


def test_every_file_of_scenarios_is_in_a_family() -> None:
    families = (ROOT / "scenarios/README.md").read_text()
    for scenario in scenarios.scenarios():
        module = scenario.name.partition("::")[0]
        assert f"`{module}.py`" in families, module
