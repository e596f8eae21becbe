"""One library has every mutant of the C core, and a number chooses one."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("tree_sitter_c")

from bite.c_mutations import Mutants, build, mutants, mutations
from bite.c_same_code import same_code
from bite.c_schema import CHOICE
from paths import ROOT

SOURCE = """\
#define LIMIT 10
enum { SIZE = 4 };
static int counter = 3;
__attribute__((noinline)) static int twice(int value, const char *unused)
{
	(void)unused;
	return 2 * value;
}
int count(int value)
{
	int table[SIZE] = { 5, 6 };
	_Static_assert(sizeof(table) == 16, "table");

	if (value < 0 || value > LIMIT)
		return -1;
	counter += 2;	// no call depends on an earlier one
	for (int i = 0; i < 2; i++)
		value += table[i];
	__asm__ volatile("nop");
	return twice(value, 0) | 1;
}
"""
#: What count() returns here, of a value below, on, within and above its limits.
ARGUMENTS = (-1, 0, 3, 10, 11)


@pytest.fixture(name="small")
def fixture_small(tmp_path: Path) -> Mutants:
    """The mutants of a file of two functions."""
    (tmp_path / "small.c").write_text(SOURCE)
    return mutants(tmp_path)


def library(found: Mutants, folder: Path) -> Path:
    """Compile the mutants of the small file."""
    (folder / "all.c").write_text(found.text("small.c") + CHOICE)
    subprocess.run(["gcc", "-w", "-shared", "-fPIC", "-o", "all.so", "all.c"], cwd=folder, check=True)
    return folder / "all.so"


def results(path: Path, number: int) -> list[int]:
    """What the functions of a library return, with one mutant; in a process, as it is chosen on loading."""
    script = f"import ctypes; c = ctypes.CDLL({str(path)!r}); print(*(c.count(v) for v in {ARGUMENTS}))"
    environment = os.environ | {"WORLDSWITCH_BITE_C": str(number)}
    printed = subprocess.check_output([sys.executable, "-c", script], env=environment, text=True, timeout=20)
    return [int(word) for word in printed.split()]


def numbers(found: Mutants, operator: str, text: str, before: str = "") -> list[int]:
    """The numbers of the mutants with this operator and text."""
    return [
        number
        for number, (file, change) in found.changes.items()
        if (change.operator, change.text) == (operator, text)
        and before in found.sources[file][change.start : change.end].decode()
    ]


def test_without_a_mutant_the_functions_do_what_they_did(small: Mutants, tmp_path: Path) -> None:
    assert results(library(small, tmp_path), 0) == [-1, 23, 29, 43, -1]


@pytest.mark.parametrize(
    ("operator", "before", "text", "expected"),
    [
        ("comparison turned", "value > LIMIT", "value >= LIMIT", [-1, 23, 29, -1, -1]),
        ("operand left out", "value < 0", "0", [21, 23, 29, 43, -1]),
        ("condition negated", "value", "!(value < 0 || value > LIMIT)", [21, -1, -1, -1, 45]),
        ("return left out", "return -1;", "", [21, 23, 29, 43, 45]),
        ("statement left out", "value += table[i];", "", [-1, 1, 7, 21, -1]),
        ("constant one off", "5", "6", [-1, 25, 31, 45, -1]),
        ("operand left out", "twice(value, 0) | 1", "twice(value, 0)", [-1, 22, 28, 42, -1]),
        ("operator swapped", "value += table[i]", "value -= table[i]", [-1, -21, -15, -1, -1]),
        ("another value returned", "twice(value, 0) | 1", "0", [-1, 0, 0, 0, -1]),
    ],
)
def test_one_mutant_is_chosen(
    small: Mutants, tmp_path: Path, operator: str, before: str, text: str, expected: list[int]
) -> None:
    (number,) = numbers(small, operator, text, before)
    assert results(library(small, tmp_path), number) == expected


def test_what_must_be_constant_is_left_alone_and_counted(small: Mutants) -> None:
    assert small.skipped == {
        "a macro": 1,
        "a static initialiser": 1,
        "the size of an array": 1,
        "a constant expression": 1,
        "assembly": 1,
        "a type": 1,
    }


def test_what_does_not_compile_is_dropped(small: Mutants) -> None:
    assert numbers(small, "arguments swapped", "twice(0, value)") == []
    assert small.not_compiled >= 1


def test_a_mutant_with_the_code_of_the_original_is_found(small: Mutants, tmp_path: Path) -> None:
    (unused,) = numbers(small, "statement left out", "", "(void)unused;")
    assert same_code(small, tmp_path)[unused] == 0
    (other,) = numbers(small, "operand left out", "0", "value < 0")
    assert other not in same_code(small, tmp_path)


def test_each_mutation_has_an_identity_of_its_own() -> None:
    found = mutations()
    assert len({mutation.id for mutation in found}) == len(found) > 1000
    assert [mutation.number for mutation in found] == list(range(1, len(found) + 1))


def test_a_mutation_shows_its_lines_without_comments() -> None:
    text = [(mutation.before, mutation.after) for mutation in mutations() if mutation.function == "settle"]
    assert ("if (!parked)", "if (parked)") in text
    assert ("set_state(t, parked ? TRACEE_PARKED : TRACEE_LOST);", "") in text


@pytest.fixture(name="package", scope="module")
def fixture_package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for PYTHONPATH, with the checkout as the package and the mutants in its core."""
    root = tmp_path_factory.mktemp("bite")
    reference = root / "worldswitch" / "reference"
    reference.mkdir(parents=True)
    for path in ROOT.iterdir():
        if path.name not in ("reference", "worldswitch"):
            (reference.parent / path.name).symlink_to(path)
    for path in (ROOT / "reference").iterdir():
        if not path.name.startswith("_core.") or path.suffix == ".pyi":
            (reference / path.name).symlink_to(path)
    shutil.copy(build(root / "build"), reference)
    return root


def scenarios(package: Path, number: int, results: Path) -> int:
    """Run two scenarios with a mutant, and return the exit status."""
    environment = os.environ | {"PYTHONPATH": str(package), "PYTHONSAFEPATH": "1", "WORLDSWITCH_BITE_C": str(number)}
    words = ("run", "--engine", "host", "--repeat", "quick", "--results", str(results), "--id", "SG01", "--id", "LC01")
    command = [sys.executable, "-m", "worldswitch.harness.cli.main", *words]
    return subprocess.run(command, env=environment, capture_output=True, timeout=120, check=False).returncode


def test_the_core_without_a_mutant_passes(package: Path, tmp_path: Path) -> None:
    assert scenarios(package, 0, tmp_path) == 0


def test_a_mutant_of_the_core_is_caught(package: Path, tmp_path: Path) -> None:
    (number,) = (
        mutation.number
        for mutation in mutations()
        if (mutation.function, mutation.before, mutation.after) == ("collect", "rc = read_back(t, a, &request);", "")
    )
    assert scenarios(package, number, tmp_path) == 1
