"""A shell completes commands, options and names, as argcomplete asks it to."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = str(Path(sys.executable).with_name("worldswitch"))


def suggestions(line: str, folder: Path) -> list[str]:
    """What is suggested for the last word of a command line."""
    asked = {"_ARGCOMPLETE": "1", "_ARGCOMPLETE_STDOUT_FILENAME": str(folder / "answer"), "_ARGCOMPLETE_IFS": "\n"}
    environment = {"PATH": "/usr/bin:/bin", "COMP_LINE": line, "COMP_POINT": str(len(line)), "COMP_TYPE": "9", **asked}
    subprocess.run([PROGRAM], env=environment | {"PYTHONSAFEPATH": "1"}, cwd=folder, timeout=60, check=False)
    return (folder / "answer").read_text().split()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("worldswitch do", ["doctor"]),
        ("worldswitch run --engi", ["--engine"]),
        ("worldswitch run --engine o", ["oci"]),
        ("worldswitch run --profile hard", ["hardened"]),
        ("worldswitch run --kernel 6.1", ["6.1", "6.12", "6.16", "6.17", "6.18", "6.19"]),
        ("worldswitch run --id KD3", ["KD3"]),
        ("worldswitch run --platform refer", ["reference"]),
        ("worldswitch kernels fe", ["fetch"]),
        ("worldswitch kernels fetch 5", ["5.10"]),
        ("worldswitch bisect KD3", ["KD3"]),
        ("worldswitch report 2026", ["20261201T120000-aaaa"]),
        ("worldswitch list pro", ["probes", "profiles"]),
    ],
)
def test_a_word_is_completed(line: str, expected: list[str], tmp_path: Path) -> None:
    run = tmp_path / "results" / "20261201T120000-aaaa"
    run.mkdir(parents=True)
    (run / "run.json").touch()
    assert sorted(word.strip() for word in suggestions(line, tmp_path)) == expected


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_code_for_a_shell_names_the_program(shell: str) -> None:
    done = subprocess.run([PROGRAM, "completion", shell], capture_output=True, text=True, timeout=60, check=True)
    assert "worldswitch" in done.stdout
    assert "_ARGCOMPLETE" in done.stdout
