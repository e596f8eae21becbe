"""The commands under a filter that denies one request or call: scenarios are blocked, and the culprit is named."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from paths import PYTHONPATH, TESTS

SECONDS = 120

#: The restriction, the start of what is told of it, and the culprit.
DENIED = {
    "errno:101:1:31": ("PTRACE_SYSEMU: EPERM", "seccomp: PTRACE_SYSEMU for a nonexistent pid returns EPERM"),
    "errno:101:13:0x4204": ("PTRACE_GETREGSET: EACCES", "seccomp: PTRACE_GETREGSET for a nonexistent pid"),
    "errno:101:0": ("PTRACE_SEIZE: 0", "seccomp: PTRACE_SEIZE for a nonexistent pid returns 0"),
    "errno:319:1": ("memfd_create: EPERM", "seccomp: with invalid arguments it returns EPERM"),
    "errno:56:38:0x50f00": ("clone: ENOSYS", "perhaps seccomp: filters are in force"),
    "mdwe": ("mprotect(PROT_EXEC) of anonymous memory: EACCES", "PR_SET_MDWE is in force"),
}


def command(restriction: str, *arguments: str) -> tuple[int, str]:
    """The status and output of a worldswitch command under a restriction."""
    program = [sys.executable, str(TESTS / "support" / "confined.py"), restriction, "--"]
    program += [sys.executable, "-c", "from worldswitch.harness.cli.main import main; exit(main())", *arguments]
    environment = {**os.environ, "PYTHONPATH": PYTHONPATH, "PYTHONSAFEPATH": "1"}
    ended = subprocess.run(program, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False)
    return ended.returncode, ended.stdout + ended.stderr


@pytest.mark.parametrize(("restriction", "told"), DENIED.items(), ids=DENIED)
def test_scenarios_are_blocked_and_explained(restriction: str, told: tuple[str, str], tmp_path: Path) -> None:
    results = str(tmp_path / "results")
    status, _ = command(restriction, "run", "--engine", "host", "--id", "SG01", "--results", results)
    assert status == 1, "no rule expects that this machine denies it"
    (folder,) = (tmp_path / "results").glob("*T*")
    lines = [json.loads(line) for line in (folder / "host.jsonl").read_text().splitlines()]
    trials = [line for line in lines if line["kind"] == "trial"]
    assert {trial["verdict"] for trial in trials} == {"blocked"}
    assert all(word in trial["reason"] for trial in trials for word in told)
    status, text = command(restriction, "explain", f"host::{trials[0]['scenario']}@{folder}")
    assert status == 0
    assert f"{told[0]}" in text.partition("cause of the denial")[2]
    assert told[1] in text.partition("cause of the denial")[2]


@pytest.mark.parametrize("restriction", ["errno:101:1:31", "mdwe"])
def test_the_doctor_says_no(restriction: str) -> None:
    status, text = command(restriction, "doctor", "--json")
    assert status == 2, text
    answer = json.loads(text)["answer"]
    assert not answer["can_run"]
    assert all(word in answer["reason"] for word in DENIED[restriction])
    assert answer["remedy"]


def test_a_filter_that_kills_for_ptrace_leaves_no_process() -> None:
    mark = f"leak-{os.getpid()}"
    look = f"from worldswitch.harness.ptrace_denial import in_a_child; in_a_child.can_trace_a_child()  # {mark}"
    tool = TESTS / "support" / "confined.py"
    subprocess.run([sys.executable, tool, "kill:101", "--", sys.executable, "-c", look], check=True, timeout=60)
    until = time.monotonic() + 5
    while (left := [path for path in Path("/proc").glob("[0-9]*/cmdline") if mark in text(path)]) and (
        time.monotonic() < until
    ):
        time.sleep(0.05)
    assert left == []


def text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
