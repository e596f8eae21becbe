"""Collect this package and its dependencies in one folder, for the image's Python and C library.

From a checkout, a wheel is built in a copy, so that the checkout stays unchanged.  The files of an installed package
are copied.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path

import filelock

from worldswitch.harness.environments import guardian, installation
from worldswitch.harness.environments.cache import cache
from worldswitch.harness.environments.run_resources import RunResources
from worldswitch.harness.errors import Unobtainable

SECONDS = 300.0
SOURCES = (".py", ".pyi", ".c", ".h", ".s", ".toml", ".json", ".md", ".typed")
VERSION = re.compile(rb"GLIBC_(\d+)\.(\d+)")


@dataclass(frozen=True, slots=True)
class ImageTarget:
    """Python and C library of the base image."""

    python: tuple[int, int]
    glibc: tuple[int, int]
    machine: str

    @property
    def platforms(self) -> list[str]:
        """The platform tags of wheels that run there."""
        minors = range(self.glibc[1], 16, -1)
        return [*(f"manylinux_2_{minor}_{self.machine}" for minor in minors), f"manylinux2014_{self.machine}"]


#: A script for the base's Python; prints the fields of `ImageTarget` as JSON.
QUESTIONS = """\
import json, os, platform, sys
libc = os.confstr("CS_GNU_LIBC_VERSION") or ""
print(json.dumps({"python": sys.version_info[:2], "libc": libc, "machine": platform.machine()}))
"""


def target(answers: str | bytes, base: str) -> ImageTarget:
    """Parse the output of `QUESTIONS` in `base`.  Raises `Unobtainable` if its C library is not glibc."""
    answer = json.loads(answers)
    if not (version := re.fullmatch(r"glibc (\d+)\.(\d+)", answer["libc"])):
        raise Unobtainable(f"the C library of {base} is not glibc", "set WORLDSWITCH_BASE_IMAGE to an image with glibc")
    major, minor = answer["python"]
    return ImageTarget((major, minor), (int(version[1]), int(version[2])), answer["machine"])


def dotted(version: tuple[int, int]) -> str:
    """Return a version as text: ``3.11``."""
    return ".".join(map(str, version))


# ------------------------------------------------------------------------------------------------------ our package


def source_files(root: Path) -> Iterator[Path]:
    """Yield the files that a wheel is built from."""
    packages = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    yield from (root / name for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE", "NOTICE"))
    for folder in sorted({name.split(".")[1] for name in packages}):
        for path in sorted((root / folder).rglob("*")):
            if _is_source(path) and not (folder == "results" and path.parent != root / folder):
                yield path


def _is_source(path: Path) -> bool:
    """True unless the file is generated (the name of cffi's C begins with an underscore)."""
    generated = path.suffix == ".c" and path.name.startswith("_")
    return path.is_file() and not generated and (path.suffix in SOURCES or path.name.startswith("Containerfile"))


def installed_files() -> list[tuple[str, Path]]:
    """Return the installed package's files: name in site-packages, and path."""
    files = metadata.distribution("worldswitch").files or []
    pairs = [(str(file), Path(str(file.locate()))) for file in files]
    return [(name, path) for name, path in pairs if not name.startswith("..") and path.suffix != ".pyc"]


def key() -> str:
    """Return a digest of the package's files."""
    root = installation.checkout()
    pairs = [(str(path.relative_to(root)), path) for path in source_files(root)] if root else installed_files()
    digest = hashlib.sha256()
    for name, path in pairs:
        content = path.read_bytes() if path.exists() else b""
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()[:16]


def copy_source(root: Path, to: Path) -> Path:
    """Copy the files that a wheel is built from; returns `to`."""
    for path in source_files(root):
        if path.exists():
            (to / path.relative_to(root)).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, to / path.relative_to(root))
    return to


def wheel(run: RunResources, root: Path) -> Path:
    """Return this checkout's wheel, built on this machine once for each state of its files."""
    kept = cache("wheel", key())
    with _one_at_a_time(kept):
        if not (found := list(kept.glob("*.whl"))):
            built = _build(run, root)
            found = [built.rename(kept / built.name)]
    return found[0]


def _build(run: RunResources, root: Path) -> Path:
    source, out = copy_source(root, run.scratch()), run.scratch()
    isolation = ["--no-build-isolation"] if _can_build() else []
    pip("wheel", "--no-deps", *isolation, "--wheel-dir", str(out), str(source), doing="building the wheel")
    return next(out.glob("*.whl"))


def _one_at_a_time(kept: Path) -> filelock.BaseFileLock:
    """The lock for making what is kept: two builds of the same sources differ, and the images of one run must not."""
    return filelock.FileLock(kept.with_suffix(".lock"), timeout=2 * SECONDS)


def _can_build() -> bool:
    """True if the build requirements of pyproject.toml are installed, so that pip need not download them."""
    try:
        return int(metadata.version("setuptools").split(".")[0]) >= 77 and bool(metadata.version("cffi"))
    except metadata.PackageNotFoundError:
        return False


def highest_glibc(folder: Path) -> tuple[int, int]:
    """Return the newest glibc symbol version that an extension module in a folder requires."""
    found = (VERSION.findall(path.read_bytes()) for path in folder.rglob("*.so"))
    versions = [(int(major), int(minor)) for matches in found for major, minor in matches]
    return max(versions, default=(2, 0))


# ------------------------------------------------------------------------------------------------ what it depends on


def requirements() -> list[str]:
    """Return what a cell needs."""
    return installation.requirements("cell")


def dependencies(run: RunResources, target: ImageTarget) -> Path:
    """Return a folder with the dependencies for the target's Python, fetched once."""
    wanted = requirements()
    name = hashlib.sha256(repr((wanted, target)).encode()).hexdigest()[:16]
    kept = cache("dependencies") / name
    with _one_at_a_time(kept):
        if not kept.exists():
            _fetch(wanted, target, run).rename(kept)
    return kept


def _fetch(wanted: list[str], target: ImageTarget, run: RunResources) -> Path:
    fresh = run.scratch()
    platforms = [option for name in target.platforms for option in ("--platform", name)]
    version = dotted(target.python)
    pip(
        *("install", "--no-compile", "--only-binary=:all:", "--implementation=cp"),
        *(f"--python-version={version}", *platforms, "--target", str(fresh), *wanted),
        doing=f"fetching packages for Python {version}",
    )
    return fresh


def assemble(run: RunResources, target: ImageTarget, built: Path | None) -> Path:
    """Return a new folder with package and dependencies; `built` is a wheel, or None for the installed package."""
    folder = run.scratch() / "site"
    shutil.copytree(dependencies(run, target), folder)
    if built:
        zipfile.ZipFile(built).extractall(folder)
    else:
        for name, path in installed_files():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, folder / name)
    return folder


def pip(*arguments: str, doing: str) -> None:
    """Run pip under a guardian; `doing` describes it in errors.  Raises `Unobtainable`."""
    if not util.find_spec("pip"):
        raise Unobtainable(f"{doing} needs pip, which this Python lacks", f"{sys.executable} -m ensurepip")
    try:
        guardian.run([sys.executable, "-m", "pip", "--quiet", *arguments], SECONDS)
    except subprocess.SubprocessError as problem:
        raise Unobtainable(
            f"{doing} failed: {guardian.error_lines(problem)}",
            "check that `python3 -m pip download pytest` works here, then run again",
        ) from problem
