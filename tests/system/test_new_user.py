"""A walk through the commands of the README, as root and as an ordinary user: exit statuses, and never a traceback.

``WORLDSWITCH_WALK=all`` includes the commands that take more than a minute; CI runs those as steps of its own.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from paths import ROOT

NOBODY = 65534
SECONDS = 1800

#: The exit status of each command of the README's section "More" for root and for an ordinary user.
STATUSES = {
    "doctor": ((0, 2), (0, 2)),  # 2: the host or containers cannot run; the text says which
    "list scenarios -k vsyscall": ((0,), (0,)),
    "run --engine host -k interrupt": ((0,), (0,)),
    "run --profile hardened": ((0,), (0, 2)),  # 2: an ordinary user has no engine
    "profile from pod.yaml": ((0,), (0,)),
    "run --platform my.sandbox:Platform": ((2,), (2,)),
    "matrix --quick": ((0,), (0,)),
    "explain CELL@RUN": ((0,), (0,)),
    "mutants": ((0,), (0,)),
    "bench": ((0,), (0,)),
}
POD = "apiVersion: v1\nkind: Pod\nmetadata: {name: mine}\nspec: {containers: [{name: mine, image: mine}]}\n"
LONG = ("matrix --quick", "mutants", "bench", "run --profile hardened")


def commands() -> list[str]:
    """The commands of the section "More", in order."""
    section = (ROOT / "README.md").read_text().partition("\n## More\n")[2]
    block = re.search(r"```sh\n(.*?)```", section, re.DOTALL)
    assert block
    lines = (line.partition("#")[0].split() for line in block[1].splitlines())
    return [" ".join(words[1:]) for words in lines if words]


@pytest.fixture(scope="module", params=["root", "ordinary user"])
def user(request: pytest.FixtureRequest) -> Iterator[tuple[str, Path]]:
    """The user and a folder of its own, which keeps its runs."""
    if request.param == "root" and os.geteuid() != 0:
        pytest.skip("not root")
    if request.param != "root" and os.geteuid() == 0 and not readable_by_others():
        pytest.skip("other users cannot read the checkout or its environment")
    folder = Path(tempfile.mkdtemp(prefix="new-user-", dir="/tmp"))
    folder.chmod(0o777)
    (folder / "pod.yaml").write_text(POD)
    yield request.param, folder
    shutil.rmtree(folder)


def readable_by_others() -> bool:
    """True if another user can start the command from this checkout."""
    probe = [sys.executable, "-c", "import worldswitch.harness.cli.main, worldswitch.reference.ptrace"]
    return (
        subprocess.run(probe, cwd="/", user=NOBODY, group=NOBODY, extra_groups=(), capture_output=True).returncode == 0
    )


def call(user: str, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command of the package in `folder` as the user."""
    command = [sys.executable, "-m", "worldswitch.harness.cli.main", *words]
    other = {"user": NOBODY, "group": NOBODY, "extra_groups": ()} if user != "root" and os.geteuid() == 0 else {}
    return subprocess.run(
        command,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        env={**os.environ, "HOME": str(folder), "PYTHONSAFEPATH": "1"},
        **other,  # type: ignore[call-overload]
    )


def test_each_command_of_the_readme_is_known() -> None:
    assert set(commands()) == set(STATUSES)


def test_the_readme_is_true(user: tuple[str, Path]) -> None:
    name, folder = user
    for command in commands():
        if command in LONG and os.environ.get("WORLDSWITCH_WALK") != "all":
            continue
        words = ["explain", trial_of(folder)] if command.startswith("explain") else command.split()
        done = call(name, folder, *words)
        said = f"{name}: worldswitch {command}: {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        assert done.returncode in STATUSES[command][name != "root"], said
        assert "Traceback" not in done.stdout + done.stderr, said
        if done.returncode == 2:
            assert done.stderr.strip() or "->" in done.stdout or "what to do" in done.stdout, said


def trial_of(folder: Path) -> str:
    """A trial of the last run in `folder`."""
    cell = max(folder.glob("results/*/host.jsonl"))
    name = re.search(r'"scenario":"([^"]+)"', cell.read_text())
    assert name
    return f"host::{name[1]}@{cell.parent}"
