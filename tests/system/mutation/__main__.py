"""Mutates the judging code with mutmut and fails if the survivors are not those listed: `nox -s mutation`.

Each mutation that no test detects must be in ``survivors.toml``, with the reason; a line there that no longer applies
fails too.  mutmut needs the package in a folder of its own name, which a checkout is not, so it works on a copy.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[3]

#: The modules that decide a verdict, and the tests that run them in their own process.
JUDGING = (
    "cell/attribution",
    "cell/records",
    "expectations/conditions",
    "expectations/excuses",
    "expectations/judgement",
    "expectations/outcome",
    "expectations/stale",
    "results/cell_file",
    "run/cell_account",
    "run/mutants/fates",
    "run/mutants/proof",
    "verdict",
)
TESTS = (
    *("cell/attribution", "cell/records", "expectations/excuses", "expectations/judgement", "expectations/rules"),
    *("expectations/stale", "results/reader", "results/writer", "run/cell_account", "run/mutants/fates"),
    *("run/mutants/proof", "run/runner", "system/unsound"),
)

CONFIGURATION = """\
[tool.pytest.ini_options]
addopts = [
    "--import-mode=importlib", "--strict-markers", "--strict-config", "-p", "no:cacheprovider", "-p", "no:worldswitch"
]
pythonpath = ["tests/support", "tests/data", "tests/system"]
markers = ["scenario"]

[tool.mutmut]
source_paths = ["worldswitch"]
also_copy = ["results"]
only_mutate = {modules}
pytest_add_cli_args_test_selection = {tests}
"""

#: Seconds between lines of mutmut's progress in a log.
PROGRESS_SECONDS = 20


@dataclass(frozen=True, order=True)
class Change:
    """One mutation: the function, and its lines before and after."""

    function: str
    before: str
    after: str

    def __str__(self) -> str:
        return f"{self.function}\n  - {self.before}\n  + {self.after}"


def prepare(work: Path) -> None:
    """Make the copy in `work`."""
    shutil.rmtree(work, ignore_errors=True)
    copy = work / "worldswitch"
    copy.mkdir(parents=True)
    listed = subprocess.check_output(["git", "-C", str(CHECKOUT), "ls-files", "-z"], text=True)
    for name in filter(None, listed.split("\0")):
        target = copy / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(CHECKOUT / name, target)
    subprocess.run([sys.executable, "setup.py", "--quiet", "build_ext", "--inplace"], cwd=copy, check=True)
    (copy / "tests").rename(work / "tests")
    shutil.copytree(copy / "results", work / "results")
    tests = [str(Path("tests", name).with_name(f"test_{Path(name).name}.py")) for name in TESTS]
    modules = [f"worldswitch/harness/{name}.py" for name in JUDGING]
    (work / "pyproject.toml").write_text(CONFIGURATION.format(modules=modules, tests=tests))


def mutate(work: Path) -> None:
    """Run mutmut.  Its spinner is for terminals; a log gets a line of it now and then."""
    command = [sys.executable, "-m", "mutmut", "run"]
    if sys.stdout.isatty():
        subprocess.run(command, cwd=work, check=True)
        return
    with subprocess.Popen(command, cwd=work, stdout=subprocess.PIPE) as running:
        assert running.stdout is not None
        next_time = time.monotonic()
        # mutmut ends a line by a newline, and redraws it by a carriage return.
        for line in io.TextIOWrapper(running.stdout, "utf-8", newline=""):
            if line.endswith("\n") or time.monotonic() >= next_time:
                print(line.strip("\r\n"), flush=True)
                next_time = time.monotonic() + PROGRESS_SECONDS
    if running.returncode:
        raise subprocess.CalledProcessError(running.returncode, command)


def mutmut(work: Path, *words: str) -> str:
    """Return the output of a mutmut command."""
    return subprocess.check_output([sys.executable, "-m", "mutmut", *words], cwd=work, text=True)


def survivors(work: Path) -> set[Change]:
    """Return the mutations that mutmut does not report as killed: undetected, or not run by any test."""
    found = re.findall(r"^\s*(\S+): ", mutmut(work, "results"), re.MULTILINE)
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # each command takes a second
        return set(pool.map(lambda name: change_of(name, mutmut(work, "show", name)), found))


def change_of(name: str, diff: str) -> Change:
    """Return the change that a diff of mutmut makes.

    `name` is mutmut's, such as ``a.xǁClassǁmethod__mutmut_3`` or ``a.x_function__mutmut_1``.
    """
    function = re.sub(r"__mutmut_\d+$", "", name)
    module, _, rest = function.rpartition(".x")
    place = f"{module.removeprefix('worldswitch.')}.{rest[1:].replace('ǁ', '.')}"
    lines = diff.splitlines()
    before = " ".join(line[1:].strip() for line in lines if line.startswith("-") and not line.startswith("---"))
    after = " ".join(line[1:].strip() for line in lines if line.startswith("+") and not line.startswith("+++"))
    return Change(place, before, after)


def explained() -> dict[Change, str]:
    """Return the listed survivors with their reasons."""
    listed = tomllib.loads((Path(__file__).parent / "survivors.toml").read_text())
    found = {}
    for entry in listed.get("survivor", []):
        found[Change(entry["function"], entry["before"], entry["after"])] = entry["reason"]
    return found


def main(work: Path) -> int:
    """Mutate, compare the survivors with the list, and return the exit status."""
    prepare(work)
    mutate(work)
    found, known = survivors(work), explained()
    for change in sorted(found - known.keys()):
        print(f"survived, and survivors.toml does not list it: {change}")
    for change in sorted(known.keys() - found):
        print(f"listed in survivors.toml, but killed: {change}")
    unexplained, stale = len(found - known.keys()), len(known.keys() - found)
    print(f"{len(found)} survived, {unexplained} unexplained; {stale} lines of survivors.toml no longer apply")
    return int(bool(unexplained or stale))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
