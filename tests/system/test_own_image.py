"""The commands of docs/start.md make an image of worldswitch and run it, word by word, with a private engine.

Needs root, dockerd, mmdebstrap, and a network for packages.  It takes four minutes.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
from pathlib import Path

import pytest
from paths import ROOT

from worldswitch.harness.environments.docker import engine
from worldswitch.harness.environments.run_resources import RunResources
from worldswitch.harness.errors import Unobtainable

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not all(map(shutil.which, ("dockerd", "docker", "mmdebstrap"))),
    reason="needs root, dockerd, docker and mmdebstrap",
)

#: The private engine has no bridge, and its control groups are the run's.
DOCKER = """\
#!/bin/sh
command=$1
shift
case $command in
build) set -- --network host "$@" ;;
run) set -- --network none --cgroup-parent "$GROUP" "$@" ;;
esac
exec "$REAL_DOCKER" "$command" "$@"
"""

#: A proxy's own certificate must be known in the base too.
MMDEBSTRAP = """\
#!/bin/sh
exec "$REAL_MMDEBSTRAP" --customize-hook='cp /etc/ssl/certs/ca-certificates.crt "$1/etc/host-certificates.pem"' \\
    --customize-hook='printf "[global]\\ncert = /etc/host-certificates.pem\\n" > "$1/etc/pip.conf"' "$@"
"""


def blocks() -> list[str]:
    """The two shell blocks of the section."""
    section = (ROOT / "docs/start.md").read_text().split("### In a container")[1]
    return re.findall(r"```sh\n(.*?)```", section, re.DOTALL)[:2]


@pytest.fixture
def environment(run: RunResources, tmp_path: Path) -> dict[str, str]:
    """The variables of a shell whose docker is that of a private engine."""
    try:
        private = engine.start(run)
    except Unobtainable as problem:
        pytest.skip(str(problem))
    tools = {"docker": DOCKER, "mmdebstrap": MMDEBSTRAP}
    real = {f"REAL_{name.upper()}": str(shutil.which(name)) for name in tools}
    for name, text in tools.items():
        script = tmp_path / "bin" / name
        script.parent.mkdir(exist_ok=True)
        script.write_text(text)
        script.chmod(script.stat().st_mode | stat.S_IXUSR)
    more = {"PATH": f"{tmp_path}/bin:{os.environ['PATH']}", "DOCKER_HOST": private.url, "DOCKER_BUILDKIT": "0"}
    return {**os.environ, **real, **more, "GROUP": private.cgroup_parent or ""}


def shell(command: str, folder: Path, environment: dict[str, str]) -> str:
    done = subprocess.run(
        ["bash", "-e", "-c", command],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, command + done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout


def test_the_documented_commands_make_and_run_an_image(environment: dict[str, str], tmp_path: Path) -> None:
    here = tmp_path / "clone"
    shutil.copytree(ROOT, here, ignore=shutil.ignore_patterns(".git", ".nox", ".venv", "*.so", "build", "20*"))
    usual, local = blocks()
    _, doctor, scenarios = usual.splitlines()
    shell(local, here, environment)  # as the first command of `usual`, with a base made here
    assert "Can a ptrace sandbox run here?\n  Yes: " in shell(doctor, here, environment)
    printed = shell(f"{scenarios} --id SG01", here, environment)
    assert printed.splitlines()[-1].startswith("2 passed, 0 failed")
    assert len(list((here / "results").glob("20*/run.json"))) == 1


def test_the_two_builds_differ_only_in_the_base() -> None:
    usual, local = blocks()
    assert usual.splitlines()[0] == local.splitlines()[-1].replace(" --build-arg BASE_IMAGE=worldswitch-base", "")
