"""A source distribution and a wheel build from the checkout, and the wheel works in an environment of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from paths import ROOT

from worldswitch.harness.environments.images import site_packages

Command = Callable[..., subprocess.CompletedProcess[str]]

#: Builds what PEP 517 names, in the current folder, by the packages of this environment: without a network.
BUILD = "import sys; from setuptools import build_meta; print(getattr(build_meta, sys.argv[1])(sys.argv[2]))"


def output(command: Sequence[str | Path], cwd: Path, **environment: str) -> str:
    done = subprocess.run(
        command, cwd=cwd, env={**os.environ, **environment}, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def build(kind: str, source: Path, to: Path) -> Path:
    return to / output([sys.executable, "-P", "-c", BUILD, kind, str(to)], source).splitlines()[-1]


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source distribution, built from a copy of the files that git would have."""
    folder = tmp_path_factory.mktemp("sdist")
    generated = shutil.ignore_patterns(".*", "*.so", "*.o", "_*.c", "build", "dist", "generated", "_build", "20*")
    shutil.copytree(ROOT, folder / "checkout", ignore=generated)
    return build("build_sdist", folder / "checkout", folder)


@pytest.fixture(scope="module")
def wheel(sdist: Path) -> Path:
    """The wheel, built from the source distribution."""
    output(["tar", "-xzf", sdist], sdist.parent)
    return build("build_wheel", sdist.with_suffix("").with_suffix(""), sdist.parent)


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Command:
    """Run the command of a new environment, outside of the checkout."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder / "venv", symlinks=True)
    python = folder / "venv/bin/python"
    pip = (sys.executable, "-m", "pip", "--python", python)
    output([*pip, "install", "--quiet", "--no-index", "--no-deps", wheel], folder)
    # The packages that it requires are those of this environment, so that no network is needed; its editable
    # installation is not among them, since a folder of a .pth file has no .pth files of its own.
    packages = output([python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], folder).strip()
    here = [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))]
    Path(packages, "required.pth").write_text("\n".join(here))
    assert packages in output([python, "-P", "-c", "import worldswitch.harness; print(worldswitch.harness)"], folder)

    def command(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [folder / "venv/bin/worldswitch", *words],
            cwd=folder,
            env={**os.environ, "PYTHONSAFEPATH": "1"},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    return command


def members(file: Path) -> set[str]:
    """The files of a package, without those of its metadata."""
    if file.suffix == ".whl":
        with zipfile.ZipFile(file) as archive:
            names = archive.namelist()
    else:
        with tarfile.open(file) as tar:
            names = [member.name.partition("/")[2] for member in tar.getmembers() if member.isfile()]
    return {name for name in names if "-info/" not in name}


def test_the_source_distribution_has_every_file_that_a_wheel_is_built_from(sdist: Path) -> None:
    needed = {str(path.relative_to(ROOT)) for path in site_packages.source_files(ROOT)}
    assert needed - members(sdist) == set()


def test_the_source_distribution_has_nothing_that_was_built(sdist: Path) -> None:
    built = (".so", ".o", ".pyc", "/_core.c", "/_native.c", "/_guests.c", "/_raw_ptrace.c")
    assert [name for name in members(sdist) if name.endswith(built)] == []


def test_the_wheel_has_the_data_that_the_code_reads(wheel: Path) -> None:
    found = members(wheel)
    folders = ("harness", "containers", "reference", "scenarios")
    kinds = (".toml", ".json", ".j2", ".css", ".js", ".sql")
    data = {
        f"worldswitch/{path.relative_to(ROOT)}"
        for folder in folders
        for path in (ROOT / folder).rglob("*")
        if path.suffix in kinds or path.name.startswith("Containerfile")
    }
    assert data - found == set()
    assert {f"worldswitch/harness/peers/programs/{path.stem}" for path in PROGRAMS} <= found


PROGRAMS = sorted((ROOT / "harness/peers/programs").glob("*.c"))


def test_the_installed_command_has_help(installed: Command) -> None:
    done = installed("--help")
    assert done.returncode == 0, done.stderr
    assert "doctor" in done.stdout


def test_the_installed_doctor_answers(installed: Command) -> None:
    done = installed("doctor", "--json")
    found = json.loads(done.stdout)
    assert done.returncode == (0 if found["answer"]["can_run"] else 2), done.stderr
    assert found["machine"]["versions"]["worldswitch"] in (ROOT / "pyproject.toml").read_text()


def test_the_installed_scenarios_run_on_the_host(installed: Command) -> None:
    done = installed("run", "--engine", "host", "--id", "SG01")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1].startswith("2 passed, 0 failed")


def test_a_checkout_installs_by_one_command(tmp_path: Path) -> None:
    """`pipx run --spec .` and `pip install .` ask for the metadata alone first: it must need no compiler."""
    generated = shutil.ignore_patterns(".*", "*.so", "build", "dist", "20*")
    shutil.copytree(ROOT, tmp_path / "checkout", ignore=generated)
    name = output([sys.executable, "-P", "-c", BUILD, "prepare_metadata_for_build_wheel", str(tmp_path)],
                  tmp_path / "checkout", PATH="/nonexistent").splitlines()[-1]  # fmt: skip
    metadata = (tmp_path / name / "METADATA").read_text()
    assert "Requires-Dist: rich" in metadata
    assert "Requires-Dist: docker" in metadata
