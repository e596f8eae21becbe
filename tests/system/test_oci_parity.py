"""An engine's containers and those of a plain runtime have the same specification and the same verdicts.

`DIFFERENCES` lists the permitted differences between specifications.  A few profiles and scenarios are compared by
default; ``WORLDSWITCH_PARITY=all`` compares all of them (`nox -s parity`), which is slow.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path, PurePath
from typing import Any

import pytest

from worldswitch.harness.environments import container_factories
from worldswitch.harness.environments.cache import LABEL, PLACE_LABEL, place
from worldswitch.harness.environments.docker.container import Docker
from worldswitch.harness.environments.images import chroot as inside
from worldswitch.harness.environments.images import containerfile, tree
from worldswitch.harness.environments.oci import default_filter, runtime, user_mapping
from worldswitch.harness.environments.oci.seccomp import SeccompTarget
from worldswitch.harness.environments.oci.spec import INIT, ContainerContext, specification
from worldswitch.harness.environments.profiles import profile as profiles
from worldswitch.harness.environments.profiles.profile import Profile
from worldswitch.harness.environments.run_resources import RunResources
from worldswitch.harness.errors import Unobtainable
from worldswitch.harness.results.cell_file import read_reached

EVERYTHING = os.environ.get("WORLDSWITCH_PARITY") == "all"
COMPARED = profiles.available() if EVERYTHING else ("docker-default", "hardened", "shared-pids", "user-namespace")
PROFILES = ("all",) if EVERYTHING else ("docker-default", "no-process-vm")
IDS = () if EVERYTHING else ("SG01", "EV02", "SG04")

#: Permitted differences: patterns of places in the specification, and why they do not matter.
DIFFERENCES = {
    r"ociVersion": "each writes the version of the standard that it was built with",
    r"hooks\..*": "the engine configures networks by a hook; cells have no network",
    r"root\.path": "the engine mounts the image's layers, a tree is a plain folder",
    r"mounts\./sbin/docker-init\..*": "the engine mounts its init there; a tree contains the same program",
    r"mounts\./etc/(hosts|hostname|resolv\.conf)\..*": "the engine writes these per container; a tree contains them",
    r"linux\.resources\.(cpu\.shares|blockIO\.weight)": "the engine writes 0, which means no limit",
    r"linux\.resources\.memory\.disableOOMKiller": "the engine writes false, the default",
    r"linux\.seccomp\.defaultErrnoRet": "engines before 23.0 drop it and answer EPERM, as all filters here do",
    r"process\.noNewPrivileges": "the engine omits false",
}


@pytest.fixture(scope="module")
def made() -> Iterator[Callable[[Profile], tuple[Docker, RunResources]]]:
    """Returns an engine's container under a profile, and the run of the engine."""
    if os.geteuid() != 0 or not shutil.which("dockerd"):
        pytest.skip("reading an engine's specifications needs root and an installed dockerd")
    held = ExitStack()
    make = container_factories.docker(held, False, print)

    def made(profile: Profile) -> tuple[Docker, RunResources]:
        try:
            docker = make(profile)
        except Unobtainable as problem:
            pytest.skip(problem.reason)
        assert isinstance(docker, Docker)
        return docker, docker._run

    with held:
        yield made


# ----------------------------------------------------------------------------------------------------------- image

#: What an engine adds when it makes a container.  The tree's init is below usr/ where the base links /sbin there.
ADDED = re.compile(rf"dev/.+|\.dockerenv|etc/mtab|(usr/)?{INIT.lstrip('/')}|{'|'.join(tree.FILES)}")


def test_the_image_has_the_same_files_with_and_without_an_engine(
    made: Callable[[Profile], tuple[Docker, RunResources]], tmp_path: Path
) -> None:
    docker, run = made(profiles.select(["docker-default"])[0])
    ours = tree.obtain(run, print)
    if docker._image.base != ours.base:
        pytest.skip(f"the engine's image is built on {docker._image.base}, the tree on {ours.base}")
    client = docker._engine.client.api
    labels = {LABEL: run.id, PLACE_LABEL: place()}
    container = client.create_container(docker._image.name, ["true"], labels=labels)["Id"]
    with (tmp_path / "engine.tar").open("wb") as file:
        file.writelines(client.export(container))
    client.remove_container(container)
    assert _files(tmp_path / "engine.tar") == _files(ours.tar(tmp_path / "tree.tar"))


def _files(tar: Path) -> dict[str, tuple[int, int, int, str]]:
    """Return the entries of a tar file by name: mode, user, group, and link target or digest."""
    found = {}
    with tarfile.open(tar) as content:
        for entry in content:
            file = content.extractfile(entry) if entry.isreg() or entry.islnk() else None
            inside = hashlib.sha256(file.read()).hexdigest() if file else entry.linkname
            found[entry.name.removeprefix("./")] = (entry.mode & 0o7777, entry.uid, entry.gid, inside)
    return {name: said for name, said in found.items() if not ADDED.fullmatch(name)}


# --------------------------------------------------------------------------------------------------- specification


@pytest.mark.parametrize("name", COMPARED)
def test_a_runtime_gets_the_engine_s_specification(
    name: str, made: Callable[[Profile], tuple[Docker, RunResources]]
) -> None:
    profile = profiles.select([name])[0]
    docker, run = made(profile)
    if not docker._engine.private:
        pytest.skip("only the specifications of a private engine can be read")
    container, theirs = _handed(docker, run)
    ours = specification(profile, ["sleep", "60"], _around(profile, container, run))
    differing = {
        place: said
        for place, said in _differences(theirs, ours).items()
        if not any(re.fullmatch(pattern, place) for pattern in DIFFERENCES)
    }
    assert differing == {}


def _handed(docker: Docker, run: RunResources) -> tuple[str, dict[str, Any]]:
    """Return a container's name, and the specification that the engine passed to its runtime."""
    cell = docker.run(["sleep", "60"])
    try:
        return cell._container, default_filter.specification(run, cell._container)
    finally:
        cell.kill()
        list(cell.frames())


def _around(profile: Profile, name: str, run: RunResources) -> ContainerContext:
    said = containerfile.read(containerfile.containerfile())
    return ContainerContext(
        name[:12],
        PurePath("/image"),
        [inside.PATH, *said.environment],
        said.folder,
        SeccompTarget.here(),
        cgroup=f"/worldswitch-{run.id}/{name}",
        pid=1,
        **user_mapping.mapped(profile),
    )


def _differences(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return the differences by place: the engine's value, and ours."""
    here, there = dict(_flat(theirs)), dict(_flat(ours))
    return {
        place: (here.get(place), there.get(place))
        for place in sorted({*here, *there})
        if here.get(place) != there.get(place)
    }


#: Lists whose order is irrelevant, and the key of their members.
KEYS = {"mounts": "destination", "namespaces": "type"}
UNORDERED = ("additionalGids", "bounding", "effective", "env", "options", "permitted", "syscalls", "maskedPaths")


def _flat(value: object, place: str = "", name: str = "") -> Iterator[tuple[str, object]]:
    if isinstance(value, list) and name in KEYS:
        value = {member[KEYS[name]]: member for member in value}
    elif isinstance(value, list) and name in UNORDERED:
        value = sorted(json.dumps(member, sort_keys=True) for member in value)
    if isinstance(value, Mapping):
        for inner, member in value.items():
            yield from _flat(member, f"{place}.{inner}" if place else inner, inner)
    elif isinstance(value, str) and place.endswith("pid.path"):
        yield place, re.sub(r"\d+", "PID", value)
    else:
        yield place, value


# -------------------------------------------------------------------------------------------------------- verdicts


@pytest.fixture
def worker() -> None:
    """Skip unless a runtime works here."""
    run = RunResources.create()
    try:
        runtime.obtain(run, install=False, say=print)
    except Unobtainable as problem:
        pytest.skip(problem.reason)
    finally:
        run.close()


@pytest.mark.usefixtures("made", "worker")
def test_verdicts_in_an_engine_s_containers_and_a_runtime_s_are_the_same(tmp_path: Path) -> None:
    docker, oci = (_verdicts(kind, tmp_path / kind) for kind in ("docker", "oci"))
    assert set(docker) == set(oci)
    differing = {name: (docker[name], oci[name]) for name in docker if docker[name] != oci[name]}
    assert differing == {}
    assert len(docker) >= len(PROFILES) * len(IDS)


def _verdicts(kind: str, folder: Path) -> dict[tuple[str, str], str]:
    """Return the verdict of each scenario under each profile."""
    options = [word for name in PROFILES for word in ("--profile", name)]
    options += [word for name in IDS for word in ("--id", name)]
    main = "import sys; from worldswitch.harness.cli.main import main; sys.exit(main())"
    command = [sys.executable, "-P", "-c", main, "run", "--engine", kind, *options, "--repeat", "quick", "--seed", "1"]
    done = subprocess.run([*command, "--no-chaos", "--results", folder], capture_output=True, text=True, check=False)
    files = sorted(folder.glob(f"*/{kind}-*.jsonl"))
    assert files, done.stdout + done.stderr
    return {
        (file.stem.removeprefix(f"{kind}-"), trial.scenario): trial.verdict.value
        for file in files
        for trial in read_reached(file).trials
    }
