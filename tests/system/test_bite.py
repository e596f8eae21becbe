"""The tool that changes the reference: its changes, what a test runs, the cage, and a noticed and a survived change."""

from __future__ import annotations

import ast
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from bite import cage, import_hook, instrument, listed, python_mutations, results
from bite.baseline import Ran, order
from bite.results import Fate
from paths import ROOT, TESTS

from worldswitch.harness.linux.processes import wait_until

SOURCE = '''\
"""A module."""

LIMIT = 3


def first(lock: object, items: list[int], low: int = 0) -> int:
    """A function."""
    with lock:
        for item in items:
            if low <= item and item < LIMIT:
                return item
    try:
        items.append(min(low, 2))
    finally:
        items.clear()
    raise ValueError("there is none")
'''

EXPECTED = [
    ("constant", "LIMIT = 3", "LIMIT = 4"),
    ("constant", "LIMIT = 3", "LIMIT = 2"),
    ("with left out", "with lock:", "if True:"),
    ("loop left out", "for item in items:", "for item in ():"),
    ("condition forced", "if low <= item and item < LIMIT:", "if False:"),
    ("and/or", "if low <= item and item < LIMIT:", "if low <= item or item < LIMIT:"),
    ("operand left out", "if low <= item and item < LIMIT:", "if item < LIMIT:"),
    ("comparison", "if low <= item and item < LIMIT:", "if low < item and item < LIMIT:"),
    ("return value", "return item", "return None"),
    ("arguments swapped", "items.append(min(low, 2))", "items.append(min(2, low))"),
    ("statement left out", "items.append(min(low, 2))", "pass"),
    ("statement left out", "raise ValueError('there is none')", "pass"),
]


def made(source: str = SOURCE) -> list[tuple[str, str, str]]:
    return [(one.operator, one.before, one.after) for one, _ in python_mutations.changes(source, "reference/a.py")]


@pytest.mark.parametrize("change", EXPECTED, ids=" ".join)
def test_a_small_function_is_changed(change: tuple[str, str, str]) -> None:
    assert change in made()


def test_a_finally_is_left_out_with_its_block() -> None:
    [change] = [one for one in made() if one[0] == "finally left out"]
    assert "finally: items.clear()" in change[1]


@pytest.mark.parametrize("text", ["A module", "A function", "there is none", "list[int]"])
def test_documentation_messages_and_annotations_stay(text: str) -> None:
    trees = (ast.unparse(tree) for _, tree in python_mutations.changes(SOURCE, "reference/a.py"))
    assert all(text in tree for tree in trees if "raise" in tree)


def test_each_change_compiles_and_differs() -> None:
    trees = [ast.dump(tree) for _, tree in python_mutations.changes(SOURCE, "reference/a.py")]
    assert len({*trees, ast.dump(ast.parse(SOURCE))}) == len(trees) + 1


def test_an_id_does_not_depend_on_the_lines_above() -> None:
    before = [one.id for one, _ in python_mutations.changes(SOURCE, "reference/a.py")]
    moved = SOURCE.replace("LIMIT", "\n# a comment\nLIMIT", 1)
    assert [one.id for one, _ in python_mutations.changes(moved, "reference/a.py")] == before
    assert len(set(before)) == len(before)


def test_every_file_of_the_reference_has_unique_ids() -> None:
    ids = [one.id for file in instrument.files_of(ROOT) for one in python_mutations.mutations(ROOT, file)]
    assert len(set(ids)) == len(ids) > 2000


# --------------------------------------------------------------------------------------------------------- what covers

RAN = {
    "a::broad": Ran(0.1, {"reference/a.py": [1, 2, 3], "reference/b.py": [7, 8, 9]}),
    "a::special": Ran(0.2, {"reference/a.py": [2]}),
    "b::slow": Ran(9.0, {"reference/a.py": [2]}),
    "b::failing": Ran(0.1, {"reference/a.py": [2]}, "fail: it fails"),
    "b::without": Ran(0.1, {}),
    **{f"c::elsewhere{number}": Ran(1.0, {"reference/b.py": [2]}) for number in range(10)},
}


def test_only_what_runs_the_line_is_run_the_cheap_and_special_first() -> None:
    assert order(RAN, "reference/a.py", 2, everywhere=False) == ["a::special", "a::broad", "b::slow"]


def test_for_a_common_line_each_file_of_scenarios_has_its_turn() -> None:
    found = order(RAN, "reference/a.py", 5, everywhere=True)
    assert found[:4] == ["a::broad", "c::elsewhere0", "b::slow", "a::special"]
    assert len(found) == 13


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout whose reference is one file."""
    (tmp_path / "reference").mkdir()
    (tmp_path / "reference/filter.py").write_text(SOURCE)
    (tmp_path / "code").mkdir()
    return tmp_path


def test_the_lines_that_ran_are_noted(checkout: Path) -> None:
    instrument.prepare(checkout, checkout / "code")
    hits = instrument.Hits(checkout / "code", ["reference/filter.py"])
    run_in_the_hook(checkout / "code", "import contextlib, os; f.first(contextlib.nullcontext(), [9, 2]); os._exit(0)")
    assert hits.read() == {"reference/filter.py": [7, 8, 9, 10, 11]}


def test_a_program_that_a_test_starts_imports_the_changed_file(checkout: Path) -> None:
    [tree] = [tree for one, tree in copies() if one.after == "LIMIT = 4"]
    import_hook.put(checkout / "code", ROOT / "reference/filter.py", "worldswitch.reference.filter", tree)
    assert run_in_the_hook(checkout / "code", "print(f.LIMIT)") == "4"


def copies() -> Iterator[tuple[python_mutations.Mutation, ast.Module]]:
    for one, _ in python_mutations.changes(SOURCE, "reference/filter.py"):
        yield (
            one,
            next(tree for two, tree in python_mutations.changes(SOURCE, "reference/filter.py") if two.id == one.id),
        )


def run_in_the_hook(folder: Path, code: str) -> str:
    paths = f"{TESTS / 'system/bite/site'}:{TESTS / 'system'}"
    return subprocess.check_output(
        [sys.executable, "-c", f"import worldswitch.reference.filter as f; {code}"],
        env=os.environ | {"PYTHONPATH": paths, import_hook.FOLDER: str(folder)},
        text=True,
    ).strip()


# ------------------------------------------------------------------------------------------------------------ the cage


@pytest.fixture
def inside(tmp_path: Path) -> Path:
    """A folder for what runs in a cage; skipped where there is none."""
    if problem := cage.problem():
        pytest.skip(problem)
    return tmp_path


def test_a_cage_returns_what_its_function_does(inside: Path) -> None:
    assert cage.run(lambda: b"done", inside, 20.0) == b"done"


def test_a_cage_holds_a_signal_to_all_processes(inside: Path) -> None:
    def kill_all() -> bytes:
        with contextlib.suppress(ProcessLookupError):  # there is no other
            os.kill(-1, 9)
        return b"alive"

    assert cage.run(kill_all, inside, 20.0) == b"alive"
    assert cage.run(lambda: os.kill(os.getpid(), 9) or b"", inside, 20.0) is None


def test_a_cage_ends_all_that_began_in_it(inside: Path) -> None:
    kept, other = os.pipe()

    def leave_one() -> bytes:
        if os.fork() == 0:
            os.setsid()
            time.sleep(600)
        return b"done"

    assert cage.run(leave_one, inside, 20.0) == b"done"
    os.close(other)
    assert os.read(kept, 1) == b""  # the kernel has closed the last copy of the other end
    os.close(kept)


def test_a_cage_has_bounded_memory(inside: Path) -> None:
    def allocate() -> bytes:
        with contextlib.suppress(MemoryError):
            return bytes(len(bytearray(cage.DATA_BYTES)) & 1)
        return b"refused"

    assert cage.run(allocate, inside, 60.0) == b"refused"


def test_a_cage_has_a_deadline_and_its_own_folder(inside: Path) -> None:
    def write_and_wait() -> bytes:
        (inside / "file").write_text("text")
        time.sleep(600)
        return b""

    assert cage.run(write_and_wait, inside, 1.0) is None
    assert list(inside.iterdir()) == []


# ------------------------------------------------------------------------------------------------------------ the whole


KILLED = ("_return", "return (RETURN, 0, 0, action)", "return None")
SURVIVED = ("_load", "return (LOAD_WORD, 0, 0, offset)", "return (LOAD_WORD, 1, 0, offset)")  #: it is listed


def test_one_change_is_noticed_and_an_equivalent_one_is_not(inside: Path) -> None:
    known = python_mutations.mutations(ROOT, "reference/filter.py")
    wanted = [one.id for one in known if (one.function, one.before, one.after) in (KILLED, SURVIVED)]
    only = [word for one in wanted for word in ("--only", one)]
    parts = ("--workers", "1", "--id", "FT01", "--tests", "tests/reference/test_filter.py")
    ended = subprocess.run(
        [sys.executable, "-m", "bite", str(inside), *parts, *only],
        env=os.environ | {"PYTHONPATH": str(TESTS / "system")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
    )
    found = results.read(inside / "results.jsonl")
    assert ended.returncode == 0, ended.stdout
    assert {one.function: one.fate for one in found.values()} == {"_return": Fate.KILLED, "_load": Fate.SURVIVED}


def test_an_interrupt_leaves_no_process(inside: Path) -> None:
    command = [sys.executable, "-m", "bite", str(inside), "--id", "FT01", "--only", "filter"]
    environment = os.environ | {"PYTHONPATH": str(TESTS / "system")}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, start_new_session=True) as started:
        assert started.stdout is not None
        assert any(b"scenarios" in line for line in started.stdout)
        assert wait_until(lambda: len(processes_of(inside)) > 3, 60)
        os.killpg(started.pid, signal.SIGINT)
        assert started.wait(60) == 2
    assert wait_until(lambda: not processes_of(inside), 20)
    assert list(inside.glob("tmp-*")) == []


def processes_of(folder: Path) -> list[str]:
    """The processes with this folder on their command line."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            found += [path.parent.name] if str(folder).encode() in path.read_bytes() else []
    return found


def change(after: str) -> python_mutations.Mutation:
    return next(one for one, _ in python_mutations.changes(SOURCE, "reference/a.py") if one.after == after)


@pytest.mark.parametrize(
    ("fate", "is_listed", "status", "said"),
    [
        (Fate.SURVIVED, True, 0, "1 survived"),
        (Fate.KILLED, False, 0, "1 killed"),
        (Fate.SURVIVED, False, 1, "nox -s bite -- --again all --only"),
        (Fate.KILLED, True, 1, "listed in survivors.toml, but noticed by a_scenario"),
        (Fate.CRASH, True, 1, "listed in survivors.toml, but noticed by a_scenario"),
    ],
)
def test_the_list_of_survivors_must_be_exact(
    fate: Fate,
    is_listed: bool,
    status: int,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    one = change("LIMIT = 4")
    monkeypatch.setattr(listed, "explained", lambda: {one.id: {}} if is_listed else {})
    found = {one.id: results.result(one, fate, by="a_scenario", mark="now")}
    assert listed.report([one], [one], found, {one.file: "now"}) == status
    assert said in capsys.readouterr().out


def test_each_listed_survivor_is_a_change_of_the_code() -> None:
    known = {one.id: one for file in instrument.files_of(ROOT) for one in python_mutations.mutations(ROOT, file)}
    for name, entry in listed.explained().items():
        if entry["file"].endswith(".py"):
            one = known[name]
            same = (one.file, one.function, one.operator, one.before, one.after)
            assert same == tuple(entry[word] for word in ("file", "function", "operator", "before", "after"))


def test_the_table_counts_only_the_files_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listed, "SUMMARY", tmp_path / "summary.json")
    ones = [one for one, _ in python_mutations.changes(SOURCE, "reference/a.py")]
    fates = (Fate.KILLED, Fate.UNDECIDED, Fate.SURVIVED, Fate.SURVIVED)
    marks = ("now", "now", "now", "before")
    found = {one.id: results.result(one, fate, mark=mark) for one, fate, mark in zip(ones, fates, marks, strict=False)}
    listed.summarize(ones, found, {"reference/a.py": "now"})
    [row] = listed.summary()
    assert (row.changes, row.tried, row.killed, row.undecided, row.unlisted) == (len(ones), 3, 1, 1, 1)
