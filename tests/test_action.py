"""The GitHub action: its file follows the syntax of actions, and its steps do what they say."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Literal

import msgspec
import pytest
from paths import ROOT

from worldswitch.harness.cli.main import _parser
from worldswitch.harness.expectations.outcome import Status

pytest.importorskip("yaml")

FILE = ROOT / "action.yml"


class Strict(msgspec.Struct, forbid_unknown_fields=True):
    """An object without other keys than its fields: docs.github.com, "Metadata syntax for GitHub Actions"."""


class Branding(Strict):
    icon: str
    color: Literal["white", "black", "yellow", "blue", "green", "orange", "red", "purple", "gray-dark"]


class Input(Strict):
    description: str
    default: str = ""
    required: bool = False


class Output(Strict):
    description: str
    value: str


class Step(Strict, rename={"condition": "if", "with_": "with"}):
    id: str = ""
    name: str = ""
    condition: str = ""
    uses: str = ""
    with_: dict[str, str | bool] = {}
    run: str = ""
    shell: str = ""
    env: dict[str, str] = {}


class Runs(Strict):
    using: Literal["composite"]
    steps: tuple[Step, ...]


class Action(Strict):
    name: str
    description: str
    inputs: dict[str, Input]
    outputs: dict[str, Output]
    runs: Runs
    branding: Branding


@pytest.fixture(scope="module")
def action() -> Action:
    return msgspec.yaml.decode(FILE.read_bytes(), type=Action)


def test_each_step_runs_in_a_shell_or_uses_an_action(action: Action) -> None:
    for step in action.runs.steps:
        assert bool(step.run) != bool(step.uses)
        assert bool(step.run) == (step.shell == "bash")
        assert "@v" in step.uses or not step.uses


def test_every_expression_names_something_that_exists(action: Action) -> None:
    text, steps = FILE.read_text(), {step.id for step in action.runs.steps}
    assert set(re.findall(r"inputs\.(\w+)", text)) == action.inputs.keys()
    assert set(re.findall(r"steps\.(\w+)\.", text)) <= steps
    written = set(re.findall(r'echo "(\w+)=', text))
    assert set(re.findall(r"steps\.run\.outputs\.(\w+)", text)) == written


def test_no_input_is_pasted_into_a_script(action: Action) -> None:
    assert [step.name for step in action.runs.steps if "${{" in step.run] == []


def scripts() -> list[Any]:
    found = msgspec.yaml.decode(FILE.read_bytes(), type=Action).runs.steps
    return [pytest.param(step, id=step.name) for step in found if step.run]


@pytest.mark.parametrize("step", scripts())
def test_each_script_is_valid_and_its_variables_are_set(step: Step) -> None:
    subprocess.run(["bash", "-n"], input=step.run, text=True, check=True, timeout=10)
    of_runner = {"RUNNER_TEMP", "GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY"}
    own = {"words", "results", "status", "folder"}
    assert set(re.findall(r"\$\{?(\w+)", step.run)) <= step.env.keys() | of_runner | own


@pytest.mark.parametrize("step", scripts())
def test_each_command_parses(step: Step) -> None:
    for words in re.findall(r'bin/worldswitch" (.+?)(?: \|\||>>|$)', step.run, re.MULTILINE):
        arguments = [re.sub(r"^\$.*", "last", word) for word in shlex.split(words) if word != "${words[@]}"]
        assert _parser().parse_args(arguments).command


@pytest.fixture
def runner(tmp_path: Path) -> dict[str, str]:
    """The variables of a runner's step, with this environment's command installed."""
    commands = tmp_path / "worldswitch/bin"
    commands.mkdir(parents=True)
    (commands / "worldswitch").symlink_to(Path(sys.executable).with_name("worldswitch"))
    bash = Path(shutil.which("bash") or "bash").parent
    return {
        "RUNNER_TEMP": str(tmp_path),
        "GITHUB_OUTPUT": str(tmp_path / "output"),
        "GITHUB_STEP_SUMMARY": str(tmp_path / "summary"),
        "PATH": f"/usr/bin:/bin:{bash}",
        "PYTHONSAFEPATH": "1",
        "SUDO": "",
    }


def bash(script: str, environment: dict[str, str]) -> int:
    """Run a script as the runner does; its exit status."""
    command = ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", "-c", script]
    return subprocess.run(command, env=environment, timeout=120, check=False).returncode


def step(action: Action, name: str) -> str:
    return next(one.run for one in action.runs.steps if one.name == name)


def test_each_input_is_documented(action: Action) -> None:
    page = (ROOT / "docs/results.md").read_text()
    assert [name for name in (*action.inputs, *action.outputs) if f"`{name}`" not in page] == []


@pytest.mark.parametrize(
    ("words", "status"), [("--engine host --id SG01", Status.AS_EXPECTED), ("--id nothing", Status.COULD_NOT_RUN)]
)
def test_a_run_s_status_folder_and_summary_are_passed_on(
    action: Action, runner: dict[str, str], tmp_path: Path, words: str, status: Status
) -> None:
    assert bash(step(action, "Run the scenarios"), runner | {"ARGUMENTS": words, "PROFILE": ""}) == 0
    outputs = dict(line.split("=", 1) for line in (tmp_path / "output").read_text().splitlines())
    assert outputs["status"] == str(status.value)
    assert bool(outputs["results"]) == (status is Status.AS_EXPECTED)
    if outputs["results"]:
        assert bash(step(action, "Summary"), runner | {"RESULTS": outputs["results"]}) == 0
        assert "2 passed, 0 failed" in (tmp_path / "summary").read_text()
    assert bash(step(action, "Status"), runner | {"STATUS": outputs["status"]}) == status.value
