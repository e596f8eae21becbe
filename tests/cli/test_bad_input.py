"""Given an invalid file, every command names the file, exits with 2, and changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from scripted import NAMES, SCENARIOS, Quiet, frames, place, planner, trial, whole

from worldswitch.harness.catalogue import scenarios
from worldswitch.harness.cli import main
from worldswitch.harness.environments import plan
from worldswitch.harness.run.request import Request
from worldswitch.harness.run.runner import Run

PROFILE = 'name = "mine"\nabout = "x"\ncapabilities = []\nseccomp = "default"\n'
RULES = 'about = "x"\n[[expect]]\nscenarios = ["SG01"]\nverdicts = ["fail"]\nreason = "so"\nevidence = ["ptrace(2)"]\n'
KERNELS = '[[kernel]]\nname = "6.12"\npackage = "linux-image-VERSION"\nsuites = ["a"]\nlayout = "boot/vmlinuz-*"\n'


def tree(folder: Path) -> dict[str, bytes]:
    """The contents of every file below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, which has a valid run."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(scenarios, "scenarios", lambda: list(SCENARIOS))
    (tmp_path / "run").mkdir()
    with monkeypatch.context() as patched:
        patched.setattr(plan, "plan", planner(place("docker:a", frames(whole(*map(trial, NAMES))))))
        Run(Request(), SCENARIOS, tmp_path / "run", Quiet()).go()
    return tmp_path


def is_refused(folder: Path, capsys: pytest.CaptureFixture[str], message: str, *arguments: str, lines: int = 1) -> None:
    """Assert that the command exits with 2, prints a line for each error, the file first, and changes nothing."""
    before = tree(folder)
    capsys.readouterr()
    assert main.main(arguments) == 2
    output = capsys.readouterr()
    assert output.err.startswith(f"worldswitch {arguments[0]}: ")
    assert message in output.err
    assert output.err.count("\n") == lines
    assert output.out == ""
    assert tree(folder) == before


# ------------------------------------------------------------------------------------------------------ invalid files

PROFILES = {
    "no TOML": ("name = ", "mine.toml: not TOML: "),
    "no text": ("\0", "mine.toml: not TOML: "),
    "an empty file": ("", "mine.toml: name: "),
    "another name": (PROFILE.replace("mine", "other"), "mine.toml: name: "),
    "a capability": (PROFILE.replace("[]", '["CAP_KILL!"]'), "mine.toml: capabilities[0]: "),
    "no such filter": (PROFILE.replace("default", "none.json"), "mine.toml: seccomp: "),
    "a bad filter": (PROFILE.replace("default", "bad.json"), "bad.json: defaultAction: "),
    "a limit": (PROFILE + "[limits]\npids = 1\n", "mine.toml: limits.pids: "),
    "a rule": (PROFILE + "[[expect]]\nverdicts = []\n", "mine.toml: rule 1: verdicts"),
}
RULE_FILES = {
    "no TOML": ("about = ", "mine.toml: not TOML: "),
    "an empty file": ("", "mine.toml: about: missing"),
    "a verdict": (RULES.replace("fail", "fails"), "mine.toml: rule 1: verdicts[0]: "),
    "no evidence": (RULES.replace("evidence", "#"), "mine.toml: rule 1: evidence: "),
    "a profile": (PROFILE, "mine.toml: name: "),
}
KERNEL_LISTS = {
    "no TOML": ("[[kernel", "mine.toml: not TOML: "),
    "an empty file": ("", "mine.toml: kernel: "),
    "no suites": (KERNELS.replace('["a"]', "[]"), "mine.toml: entry 1: suites: "),
    "another path": (KERNELS.replace("boot", "/boot"), "mine.toml: 6.12: layout: "),
    "twice": (KERNELS * 2, "mine.toml: 6.12: name: "),
}


@pytest.mark.parametrize(("text", "message"), PROFILES.values(), ids=PROFILES)
def test_a_profile(folder: Path, capsys: pytest.CaptureFixture[str], text: str, message: str) -> None:
    (folder / "mine.toml").write_text(text)
    (folder / "bad.json").write_text('{"defaultAction": "x"}')
    missing = 1 if text else 4
    is_refused(folder, capsys, f"{folder}/{message}", "run", "--profile", f"{folder}/mine.toml", lines=missing)


@pytest.mark.parametrize(("text", "message"), RULE_FILES.values(), ids=RULE_FILES)
def test_rules(folder: Path, capsys: pytest.CaptureFixture[str], text: str, message: str) -> None:
    (folder / "mine.toml").write_text(text)
    is_refused(folder, capsys, f"{folder}/{message}", "run", "--rules", f"{folder}/mine.toml")


@pytest.mark.parametrize("arguments", [("kernels", "list"), ("run", "--kernel", "6.12"), ("matrix",)], ids=" ".join)
@pytest.mark.parametrize(("text", "message"), KERNEL_LISTS.values(), ids=KERNEL_LISTS)
def test_a_list_of_kernels(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    text: str,
    message: str,
    arguments: tuple[str, ...],
) -> None:
    (folder / "mine.toml").write_text(text)
    monkeypatch.setenv("WORLDSWITCH_KERNELS", f"{folder}/mine.toml")
    is_refused(folder, capsys, f"{folder}/{message}", *arguments)


# ------------------------------------------------------------------------------------------------------ damaged runs

DAMAGED: dict[str, tuple[Callable[[Path], object], str]] = {
    "half a manifest": (lambda run: (run / "run.json").write_text('{"format": 1, "run": "x'), "run.json: "),
    "no manifest": (lambda run: (run / "run.json").unlink(), "run.json: not there"),
    "a cell's file is gone": (lambda run: (run / "docker-a.jsonl").unlink(), "docker-a.jsonl: "),
    "a line that is none": (lambda run: (run / "docker-a.jsonl").write_text("{}\n"), "docker-a.jsonl:1: "),
    "a judgement that is none": (lambda run: (run / "judgements.jsonl").write_text("so\n"), "judgements.jsonl:1: "),
}

CELL = f"docker:a::{NAMES[0]}@damaged"
READERS = (
    ("report", "damaged"),
    ("report", "damaged", "--format", "html"),
    ("report", "damaged", "--format", "markdown", "-o", "new.md"),
    ("diff", "damaged", "run"),
    ("diff", "run", "damaged"),
    ("baseline", "damaged", "-o", "new"),
    *(("export", "damaged", "--format", name, "-o", "new") for name in ("junit", "ktap", "ctrf", "sqlite")),
    ("explain", CELL),
    ("repro", CELL),
    ("expect", "update", "damaged", "--write"),
    ("kernels", "diff", "6.12", "7.3", "--run", "damaged"),
)


@pytest.mark.parametrize("arguments", READERS, ids=" ".join)
@pytest.mark.parametrize(("damage", "message"), DAMAGED.values(), ids=DAMAGED)
def test_damaged_results(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    damage: Callable[[Path], object],
    message: str,
    arguments: tuple[str, ...],
) -> None:
    (folder / "run").rename(folder / "damaged")
    (folder / "run").mkdir()
    for name, content in tree(folder / "damaged").items():
        (folder / "run" / name).write_bytes(content)
    damage(folder / "damaged")
    is_refused(folder, capsys, f"damaged/{message}", *arguments)


# ------------------------------------------------------------------------------------------------------- hostile files


def aliases(value: bytes) -> bytes:
    """Return lines of YAML, each of which has the one before it nine times."""
    lines = (b"%c: &%c %s" % (one + 1, one + 1, value % b",".join([b"*%c" % one] * 9)) for one in b"abcdefghijklmnopq")
    return b"\n".join(lines)


DEEP = "[" * 100_000
HOSTILE: dict[str, bytes] = {
    "deep": f"x = {DEEP}".encode(),
    "deep JSON": DEEP.encode(),
    "a key of many parts": b".".join([b"a"] * 100_000) + b" = 1",
    "a number of many digits": b"x = " + b"9" * 5000,
    "a number in base 60": b"x: 1" + b":1" * 100_000,
    "an alias of aliases": b"a: &a [x]\n" + aliases(b"[%s]"),
    "a merge of merges": b"a: &a {k: 1}\n" + aliases(b"{<<: [%s]}"),
    "a tag on another value": b"x: !!timestamp y",
    "infinity in base 60": b"x: 1" + b":1" * 250 + b".5",
    "not UTF-8": b"x = '\xff\xfe\xc3'",
    "a mark": b"\xef\xbb\xbfname = 'x'",
    "NUL": b"name = 'x'\n\0",
    "lines of Windows": b"name = 1\r\n[x\r\n",
    "a lone surrogate": b'{"defaultAction": "\\ud800"}',
    "a key twice": b"a = 1\na = 2",
    "huge numbers": b"name = 1e999\nx = -0\ny = nan",
}
OF_FILES = (
    ("run", "--engine", "host", "--rules", "./x"),
    ("run", "--profile", "./x.toml"),
    ("run", "--profile", "./x.json"),
    ("run", "--profile", "./x.yaml"),
    ("run", "--kernel", "./x"),
    ("profile", "from", "./x.yaml"),
    ("profile", "from", "./x.json"),
    ("bench", "compare", "./x", "./x"),
    ("bench", "report", "./x"),
    ("profile", "record", "--filter", "./x.json"),
)


@pytest.mark.parametrize("arguments", OF_FILES, ids=" ".join)
@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE)
def test_hostile_files(
    folder: Path, capsys: pytest.CaptureFixture[str], content: bytes, arguments: tuple[str, ...]
) -> None:
    for suffix in ("", ".toml", ".json", ".yaml"):
        (folder / f"x{suffix}").write_bytes(content)
    before = tree(folder)
    assert main.main(arguments) == 2
    output = capsys.readouterr()
    assert "x" in output.err.partition(":")[2]
    assert "Traceback" not in output.err
    assert output.out == ""
    assert tree(folder) == before
