"""What goes into the image: this package and what it needs, in one folder, for the image's Python and C library.

From a checkout the package is built anew as a wheel, in a copy, so that the checkout stays as it is.  An installed
package is taken as it was installed.
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

from worldswitch.harness.environments import guardian
from worldswitch.harness.environments.cache import cache
from worldswitch.harness.environments.run_resources import RunResources
from worldswitch.harness.errors import Unobtainable

SECONDS = 300.0
SOURCES = (".py", ".pyi", ".c", ".h", ".s", ".toml", ".json", ".md", ".typed")
VERSION = re.compile(rb"GLIBC_(\d+)\.(\d+)")


@dataclass(frozen=True, slots=True)
class ImageTarget:
    """What the base image has."""

    python: tuple[int, int]
    glibc: tuple[int, int]
    machine: str

    @property
    def platforms(self) -> list[str]:
        """The wheels that run there, by the names of their platforms."""
        minors = range(self.glibc[1], 16, -1)
        return [*(f"manylinux_2_{minor}_{self.machine}" for minor in minors), f"manylinux2014_{self.machine}"]


#: What a base is asked, in its own Python.
QUESTIONS = """\
import json, os, platform, sys
libc = os.confstr("CS_GNU_LIBC_VERSION") or ""
print(json.dumps({"python": sys.version_info[:2], "libc": libc, "machine": platform.machine()}))
"""


def target(answers: str | bytes, base: str) -> ImageTarget:
    """Read what `base` answered to `QUESTIONS`."""
    answer = json.loads(answers)
    if not (version := re.fullmatch(r"glibc (\d+)\.(\d+)", answer["libc"])):
        raise Unobtainable(f"{base} has another C library than glibc", "name another in WORLDSWITCH_BASE_IMAGE")
    major, minor = answer["python"]
    return ImageTarget((major, minor), (int(version[1]), int(version[2])), answer["machine"])


def dotted(version: tuple[int, int]) -> str:
    """Return a version as people write it."""
    return ".".join(map(str, version))


# ------------------------------------------------------------------------------------------------------ our package


def checkout() -> Path | None:
    """Return the folder this package is run from, if that is a checkout."""
    root = Path(__file__).resolve().parents[3]
    try:
        project = tomllib.loads((root / "pyproject.toml").read_text())
    except (OSError, tomllib.TOMLDecodeError):
        return None
    return root if project.get("project", {}).get("name") == "worldswitch" else None


def source_files(root: Path) -> Iterator[Path]:
    """Yield what a wheel is built from."""
    packages = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    yield from (root / name for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE", "NOTICE"))
    for folder in sorted({name.split(".")[1] for name in packages}):
        for path in sorted((root / folder).rglob("*")):
            if _is_source(path) and not (folder == "results" and path.parent != root / folder):
                yield path


def _is_source(path: Path) -> bool:
    """Tell what people wrote from what was made of it (cffi's C begins with an underscore)."""
    generated = path.suffix == ".c" and path.name.startswith("_")
    return path.is_file() and not generated and (path.suffix in SOURCES or path.name.startswith("Containerfile"))


def installed_files() -> list[tuple[str, Path]]:
    """Return the installed package's files, with their names in site-packages."""
    files = metadata.distribution("worldswitch").files or []
    pairs = [(str(file), Path(str(file.locate()))) for file in files]
    return [(name, path) for name, path in pairs if not name.startswith("..") and path.suffix != ".pyc"]


def key() -> str:
    """Name the present state of the package's files."""
    root = checkout()
    pairs = [(str(path.relative_to(root)), path) for path in source_files(root)] if root else installed_files()
    digest = hashlib.sha256()
    for name, path in pairs:
        content = path.read_bytes() if path.exists() else b""
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()[:16]


def copy_source(root: Path, to: Path) -> Path:
    """Copy what a wheel is built from."""
    for path in source_files(root):
        if path.exists():
            (to / path.relative_to(root)).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, to / path.relative_to(root))
    return to


def wheel(run: RunResources, root: Path) -> Path:
    """Return this checkout's wheel, built on this machine, once for each state of its files."""
    kept = cache("wheel", key())
    if not (found := list(kept.glob("*.whl"))):
        source, out = copy_source(root, run.scratch()), run.scratch()
        isolation = ["--no-build-isolation"] if _can_build() else []
        pip("wheel", "--no-deps", *isolation, "--wheel-dir", str(out), str(source), doing="building the wheel")
        built = next(out.glob("*.whl"))
        found = [built.rename(kept / built.name)]
    return found[0]


def _can_build() -> bool:
    """Whether what pyproject.toml asks of a builder is installed here, so that nothing need be downloaded."""
    try:
        return int(metadata.version("setuptools").split(".")[0]) >= 77 and bool(metadata.version("cffi"))
    except metadata.PackageNotFoundError:
        return False


def highest_glibc(folder: Path) -> tuple[int, int]:
    """Return the newest glibc that any extension module in a folder asks for, by its symbols' versions."""
    found = (VERSION.findall(path.read_bytes()) for path in folder.rglob("*.so"))
    versions = [(int(major), int(minor)) for matches in found for major, minor in matches]
    return max(versions, default=(2, 0))


# ------------------------------------------------------------------------------------------------ what it depends on


def requirements() -> list[str]:
    """Return what a trial needs beside this package."""
    return sorted(line for line in metadata.requires("worldswitch") or [] if "extra ==" not in line)


def dependencies(run: RunResources, target: ImageTarget) -> Path:
    """Return a folder with the packages we depend on, as the target's Python wants them, fetched once."""
    wanted = requirements()
    name = hashlib.sha256(repr((wanted, target)).encode()).hexdigest()[:16]
    kept = cache("dependencies") / name
    if not kept.exists():
        fresh = run.scratch()
        platforms = [option for name in target.platforms for option in ("--platform", name)]
        version = dotted(target.python)
        pip(
            *("install", "--no-compile", "--only-binary=:all:", "--implementation=cp"),
            *(f"--python-version={version}", *platforms, "--target", str(fresh), *wanted),
            doing=f"fetching packages for Python {version}",
        )
        fresh.rename(kept)
    return kept


def assemble(run: RunResources, target: ImageTarget, built: Path | None) -> Path:
    """Put dependencies and package into one new folder; `built` is a wheel, or None for the installed package."""
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
    """Run pip, held."""
    if not util.find_spec("pip"):
        raise Unobtainable(f"{doing} takes pip, which this Python lacks", "python3 -m ensurepip")
    try:
        guardian.run([sys.executable, "-m", "pip", "--quiet", *arguments], SECONDS)
    except subprocess.SubprocessError as problem:
        raise Unobtainable(
            f"{doing} failed: {guardian.error_lines(problem)}",
            "check that `python3 -m pip download pytest` works here, then run again",
        ) from problem
