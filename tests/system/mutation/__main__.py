"""Mutates the judging code with mutmut, and sees whether our own tests notice: `nox -s mutation`.

What decides a verdict must itself be beyond doubt.  Each change to that code that no test notices has to be listed,
with the reason, in ``survivors.toml`` beside this file; a line there that no longer applies is as red as a survivor
that is not there.  mutmut wants the package as a folder of its own name, which a checkout is not: it works on a copy.
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

#: The code that decides, and the tests that can see it decide in their own process.
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

#: How many seconds of mutmut's progress a line of a log stands for.
WHILE = 20


@dataclass(frozen=True, order=True)
class Change:
    """One mutation: where, and the lines before and after."""

    function: str
    before: str
    after: str

    def __str__(self) -> str:
        return f"{self.function}\n  - {self.before}\n  + {self.after}"


def prepare(work: Path) -> None:
    """Lay the copy out."""
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
    """Have mutmut try every change.  Its turning signs are for terminals: a log has one of them in a while."""
    command = [sys.executable, "-m", "mutmut", "run"]
    if sys.stdout.isatty():
        subprocess.run(command, cwd=work, check=True)
        return
    with subprocess.Popen(command, cwd=work, stdout=subprocess.PIPE) as running:
        assert running.stdout is not None
        next_time = time.monotonic()
        # A line ends where mutmut goes on to the next one, and where it goes back to the beginning of the same.
        for line in io.TextIOWrapper(running.stdout, "utf-8", newline=""):
            if line.endswith("\n") or time.monotonic() >= next_time:
                print(line.strip("\r\n"), flush=True)
                next_time = time.monotonic() + WHILE
    if running.returncode:
        raise subprocess.CalledProcessError(running.returncode, command)


def asked(work: Path, *words: str) -> str:
    """What mutmut says to a question."""
    return subprocess.check_output([sys.executable, "-m", "mutmut", *words], cwd=work, text=True)


def survivors(work: Path) -> set[Change]:
    """The changes that no test noticed, those that no test even ran, and whatever else mutmut does not call killed."""
    found = re.findall(r"^\s*(\S+): ", asked(work, "results"), re.MULTILINE)
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # each question is a process that takes a second
        return set(pool.map(lambda name: change_of(name, asked(work, "show", name)), found))


def change_of(name: str, diff: str) -> Change:
    """The change that `diff`, as mutmut shows it, makes.

    `name` is mutmut's, such as ``a.xǁClassǁmethod__mutmut_3`` or ``a.x_function__mutmut_1``.
    """
    function = re.sub(r"__mutmut_\d+$", "", name)
    module, _, rest = function.rpartition(".x")
    spoken = f"{module.removeprefix('worldswitch.')}.{rest[1:].replace('ǁ', '.')}"
    lines = diff.splitlines()
    before = " ".join(line[1:].strip() for line in lines if line.startswith("-") and not line.startswith("---"))
    after = " ".join(line[1:].strip() for line in lines if line.startswith("+") and not line.startswith("+++"))
    return Change(spoken, before, after)


def explained() -> dict[Change, str]:
    """What may survive, and why."""
    listed = tomllib.loads((Path(__file__).parent / "survivors.toml").read_text())
    found = {}
    for entry in listed.get("survivor", []):
        found[Change(entry["function"], entry["before"], entry["after"])] = entry["reason"]
    return found


def main(work: Path) -> int:
    """Mutate, and hold what survived against what may; the exit status."""
    prepare(work)
    mutate(work)
    found, known = survivors(work), explained()
    for change in sorted(found - known.keys()):
        print(f"survived, and nobody says why it may: {change}")
    for change in sorted(known.keys() - found):
        print(f"listed as a survivor, and is none: {change}")
    unexplained, stale = len(found - known.keys()), len(known.keys() - found)
    print(f"{len(found)} survived, {unexplained} unexplained; {stale} lines of survivors.toml no longer apply")
    return int(bool(unexplained or stale))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
