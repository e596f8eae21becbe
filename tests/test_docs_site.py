"""The pages in docs/ are true: commands parse, quoted messages exist, and examples have the verdicts that are shown."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from paths import ROOT as TOP

from worldswitch.harness import contract
from worldswitch.harness.cli.main import _parser
from worldswitch.harness.expectations.outcome import Status
from worldswitch.harness.verdict import Verdict

PAGES = sorted((TOP / "docs").glob("*.md"))
DOCUMENTS = [*PAGES, *TOP.glob("*.md"), *TOP.glob("*/README.md"), *TOP.glob("harness/*/README.md")]
TOY = "toy_platform:ToyPlatform"


def commands() -> Iterator[str]:
    """Every command line of ours in a shell block of a document."""
    for document in DOCUMENTS:
        for block in re.findall(r"```sh\n(.*?)```", document.read_text(), re.DOTALL):
            for line in block.splitlines():
                if found := re.search(r"(?:^|/)worldswitch (.*)", line.partition(" #")[0]):
                    yield found[1]


@pytest.mark.parametrize("command", sorted(set(commands())))
def test_every_command_parses(command: str) -> None:
    assert parses(command)


def parses(command: str) -> bool:
    """True if the command can run, or prints its help or version."""
    try:
        return bool(_parser().parse_args(shlex.split(command)).command)
    except SystemExit as end:
        return end.code == 0


def test_every_quoted_message_is_in_the_code() -> None:
    code = "\n".join(path.read_text() for part in ("harness", "reference") for path in (TOP / part).rglob("*.py"))
    code = re.sub(r'"\s*\n\s*f?"', "", code)  # a message that is written as several literals
    messages = re.findall(r"^### `+(.+?)`+$", (TOP / "docs/troubleshooting.md").read_text(), re.MULTILINE)
    assert len(messages) > 20
    assert [one for one in messages if one.strip() not in code] == []


def test_the_reference_has_the_whole_contract() -> None:
    page = (TOP / "docs/api.md").read_text()
    documented = set(re.findall(r"auto(?:class|data):: (\w+)", page))
    public = {name for name, value in vars(contract).items() if getattr(value, "__module__", "") == contract.__name__}
    assert {name for name in public if not name.startswith("_")} - documented == set()


@pytest.mark.parametrize("page", ["verdicts.md", "results.md"])
def test_every_exit_status_is_explained(page: str) -> None:
    assert all(f"| {status.value} |" in (TOP / "docs" / page).read_text() for status in Status)


def test_every_verdict_is_in_the_picture() -> None:
    picture = (TOP / "docs/static/verdicts.svg").read_text()
    assert all(f">{verdict.value}</text>" in picture for verdict in Verdict)


def test_every_page_is_in_the_contents() -> None:
    contents = (TOP / "docs/index.md").read_text().splitlines()
    assert {page.stem for page in PAGES} - {"index"} <= set(contents)


# ------------------------------------------------------------------------------------------------------------ examples


def printed(monkeypatch: pytest.MonkeyPatch, *command: str) -> tuple[int, str]:
    """Run a program of this Python with the examples on its path; its exit status and what it printed."""
    monkeypatch.setenv("PYTHONPATH", str(TOP / "docs/examples"))
    monkeypatch.setenv("PYTHONSAFEPATH", "1")
    words = [str(Path(sys.executable).with_name(command[0])), *command[1:]]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, cwd=TOP, check=False)
    return done.returncode, done.stdout


def trials(folder: Path) -> Iterator[dict[str, Any]]:
    """The trials of the only cell of the run in `folder`."""
    (cell,) = folder.glob("*/host*.jsonl")
    yield from (line for line in map(json.loads, cell.read_text().splitlines()) if "verdict" in line)


def test_the_toy_has_the_verdicts_of_its_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (TOP / "docs/write-a-platform.md").read_text()
    rows = re.findall(r"^([a-z]+) +(\w+::\w+)$(?:\n +(.*)$)?", page, re.MULTILINE)
    assert {verdict for verdict, _, _ in rows} == {"pass", "fail", "unsupported", "error"}
    ids = [word for _, name, _ in rows for word in ("--id", name)]
    status, _ = printed(
        monkeypatch, "worldswitch", "run", "--engine", "host", "--platform", TOY, *ids, "--results", str(tmp_path)
    )
    found = {one["scenario"]: (one["verdict"], one.get("reason", "")) for one in trials(tmp_path)}
    assert found == {name: (verdict, reason) for verdict, name, reason in rows}
    assert status == Status.UNEXPECTED


def test_the_toy_is_as_expected_by_its_rules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = ("--rules", "docs/examples/toy_rules.toml", "--id", "IN01", "--results", str(tmp_path))
    status, text = printed(monkeypatch, "worldswitch", "run", "--engine", "host", "--platform", TOY, *options)
    assert status == Status.AS_EXPECTED, text
    assert [one["verdict"] for one in trials(tmp_path)] == ["fail"]


@pytest.mark.parametrize(("platform", "block"), [("reference", 0), ("worked_mutant:PushesAtEachCall", 1)])
def test_the_worked_scenario_prints_what_its_page_shows(
    monkeypatch: pytest.MonkeyPatch, platform: str, block: int
) -> None:
    shown = re.findall(r"```text\n(.*?)```", (TOP / "docs/write-a-scenario.md").read_text(), re.DOTALL)[block]
    lines = shown.partition("--- transcript ---")[0].splitlines()  # below it, times and process ids
    command = ("python", "-m", "pytest", "-p", "no:cacheprovider", "--pyargs", "worked", "--scenarios", "worked")
    _, text = printed(monkeypatch, *command, "--platform", platform)
    assert len(lines) > 1
    assert [line for line in lines if line not in text] == []
