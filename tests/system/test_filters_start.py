"""A runtime starts a container under each filter that the index of filters says it does, and under no other."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
from paths import TESTS

from worldswitch.harness.environments.filters import filter_file
from worldswitch.harness.environments.oci.capabilities import USUAL
from worldswitch.harness.environments.oci.seccomp import SeccompTarget, resolve
from worldswitch.harness.environments.oci.spec import ContainerContext, specification
from worldswitch.harness.environments.profiles.profile import Profile

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("runc"), reason="a container of the plain runtime needs root and runc"
)

FOLDER = TESTS / "data" / "filters"
INDEX: list[dict[str, Any]] = tomllib.loads((FOLDER / "index.toml").read_text())["filter"]
SECONDS = 20


def started(entry: dict[str, Any]) -> str:
    """What a runtime is expected to do: an engine passes the filter on, and errors stop it before."""
    return str(entry.get("oci", entry.get("docker", "")))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A container's root, whose programs are those of this machine."""
    made = tmp_path_factory.mktemp("root")
    for name in ("usr", "etc", "proc", "sys", "dev", "tmp", "run"):
        (made / name).mkdir()
    for name in ("bin", "sbin", "lib", "lib64"):
        if Path("/", name).is_symlink():
            (made / name).symlink_to(f"usr/{name}")
    shutil.copy("/etc/ld.so.cache", made / "etc")
    return made


def run(root: Path, bundle: Path, seccomp: dict[str, Any]) -> int:
    """Run `true` under a resolved filter; returns the runtime's exit status."""
    context = ContainerContext(bundle.name, root, ["PATH=/usr/bin:/bin"], "/", SeccompTarget.here())
    profile = Profile("none", "x", "default", "unconfined", init=False)
    made = specification(profile, ["true"], context)
    made["mounts"].append({"destination": "/usr", "type": "bind", "source": "/usr", "options": ["bind", "ro"]})
    if seccomp:
        made["linux"]["seccomp"] = seccomp
    (bundle / "config.json").write_text(json.dumps(made))
    command = ["runc", "--root", str(bundle / "state"), "run", "--bundle", str(bundle), f"filter-{bundle.name}"]
    pipe = subprocess.PIPE
    return subprocess.run(command, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, timeout=SECONDS).returncode


@pytest.mark.parametrize("entry", [one for one in INDEX if started(one)], ids=lambda entry: str(entry["file"]))
def test_a_container_starts_under_the_filters_that_are_said_to_start(
    entry: dict[str, Any], root: Path, tmp_path: Path
) -> None:
    found, _ = filter_file.read(FOLDER / entry["file"])
    if not entry.get("errors"):
        status = run(root, tmp_path, resolve(found[0].text, USUAL, SeccompTarget.here()))
        assert (status == 0) == (started(entry) == "starts")
    elif is_for_runtimes(entry):
        assert run(root, tmp_path, json.loads((FOLDER / entry["file"]).read_text())) != 0


#: Fields of the engines' format, which runtimes ignore, or that only newer runtimes read.
ENGINES_OWN = ("archMap", "includes", "excludes", ".name", "errno", "flags")


def is_for_runtimes(entry: dict[str, Any]) -> bool:
    """True if the error is in a field that runtimes read: then they refuse the file as it is, too."""
    return all(field and not any(own in field for own in ENGINES_OWN) for field in entry["errors"])
