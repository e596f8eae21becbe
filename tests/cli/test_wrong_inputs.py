"""Wrong input at the command line is named at once, with exit status 2, and changes, downloads and boots nothing.

A part of the lines is written here; the others are made from the parser's own options.
"""

from __future__ import annotations

import argparse
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from scripted import NAMES, SCENARIOS, Quiet, frames, place, planner, trial, whole

from worldswitch.harness.cli import main
from worldswitch.harness.cli.main import _parser
from worldswitch.harness.environments import plan
from worldswitch.harness.environments.images import apt_mirror, deb_packages
from worldswitch.harness.environments.protocol import Missing
from worldswitch.harness.run.request import Request
from worldswitch.harness.run.runner import Run

SECONDS = 30  #: the deadline of a line on a busy machine; each takes well under one

#: What is no run that can be read.
RUNS = ("nope", "file.txt", "empty", "damaged", "cut")

WRITTEN = {
    # -------------------------------------------------------------------------------------------- keyword expressions
    **{
        f"{command} -k {shlex.quote(text)}": f"-k {text!r}"
        for command in ("run", "run --engine host --id 'SG*'", "list scenarios", "list mutants")
        for text in ("foo and (", "matchesnothing", "and", "a b", "not", ")", "a or or b", "x and not x", "'")
    },
    # ----------------------------------------------------------------------------------------------------- ids, chaos
    **{
        f"{command} --id {shlex.quote(name)}": name
        for command in ("run", "run --engine host", "matrix", "matrix --quick", "list", "profile record")
        for name in ("XX99", "tt01", "SG??9", "signals", "signals::nothing")
    },
    "run --no-chaos --id 'CH*'": "CH*",
    "matrix --id CH04": "CH04",
    "bisect KD33 --good 5.10 --bad 6.1": "KD33",
    "bisect 'SG*' --good 5.10 --bad 6.1": "SG*",
    "bisect KD3 --good 5.10 --bad 6.1 --profile nope": "nope",
    # -------------------------------------------------------------------------------------------------------- kernels
    **{
        line.format(name): name.removeprefix("./")
        for line in (
            "run --kernel {}",
            "run --engine host --kernel 6.12 --kernel {}",
            "matrix --kernel {}",
            "kernels fetch {}",
            "kernels fetch 6.12 {}",
            "kernels diff 6.12 {}",
            "kernels diff {} 6.12",
            "bisect KD3 --good 5.10 --bad {}",
            "bisect KD3 --good {} --bad 6.1",
            "mutants --kernel {}",
        )
        for name in (
            "9.9",
            "6",
            "6.122",
            "6.12.",
            "6.12.x",
            "v6.12",
            "linux-6.12",
            "./nothing",
            "./file.txt",
            "./empty",
        )
    },
    "kernels diff 6.12 6.12": "6.12",
    "bisect KD3 --good 6.12 --bad 6.12": "6.12",
    # ------------------------------------------------------------------------------------------------------ platforms
    **{
        f"{command} --platform {name}": name.removeprefix("mutant:")
        for command in ("run", "run --engine host --id KV1 --platform reference", "bench --quick")
        for name in (
            *("nope", "refrence", "json", "json:", ":dumps", "json:nothing", "json:dumps", "no.such:Class"),
            *("strange:Empty", "strange:NeedsMore", "strange:Abstract", "strange:Half", "strange:text"),
            *("strange:failing", "strange:leaving", "strange:number", "mutant:Nobody", "mutant:"),
            "worldswitch.harness.contract:Platform",
        )
    },
    "mutants Nobody": "Nobody",
    "mutants AdoptsTheAbandoned Nobody": "Nobody",
    "mutants --engine host --profile hardened": "--profile",
    # ------------------------------------------------------------------------------------------ profiles, rules, files
    **{
        f"{command} --profile {name}": name.removeprefix("./")
        for command in ("run", "run --engine oci", "matrix", "mutants --engine docker", "bench --quick")
        for name in (
            "nope",
            "Hardened",
            "hardend",
            "./nope.toml",
            "./file.txt",
            "./empty",
            "./junk.toml",
            "hardened.json",
        )
    },
    "run --engine host --profile hardened": "--profile",
    "bench --quick --engine host --profile hardened": "--profile",
    **{
        f"run --rules {name}": name.removeprefix("./")
        for name in ("nope.toml", "./empty", "./file.txt", "./junk.toml", "rules.toml", "./binary")
    },
    "profile check nope.toml": "nope.toml",
    **{f"profile record --filter ./{name}": name for name in ("nope.json", "empty", "junk.json", "binary")},
    "profile record --filter nope.json": "nope.json",
    "profile check": "FILE",
    # -------------------------------------------------------------------------------------------------------- results
    **{
        f"{command} --results {folder}": folder
        for command in (
            "run --engine host --id KV1",
            "kernels diff 6.12 7.3",
            "mutants AdoptsTheAbandoned",
            "bench --quick",
        )
        for folder in ("/proc/nowhere", "file.txt", "file.txt/below")
    },
    # ----------------------------------------------------------------------------------------------------------- runs
    **{
        line.format(name): name
        for line in (
            "report {}",
            "report {} --format html",
            "report {} --format markdown -o new.md",
            "diff {} good",
            "diff good {}",
            "diff good good --again {}",
            "baseline {} -o new",
            "export {} --format junit -o new",
            "export {} --format sqlite -o new",
            "expect update {}",
            "kernels diff 6.12 7.3 --run {}",
            "explain host::IN03@{}",
            "repro host::IN03@{}",
        )
        for name in RUNS
    },
    "report nothing": "Nothing ran",
    "baseline nothing -o new": "nothing",
    "expect update nothing": "nothing",
    "diff good nothing": "no trial has a verdict in both runs",
    "diff nothing good": "no trial has a verdict in both runs",
    "diff good other": "no trial has a verdict in both runs",
    "diff baseline good": "no trial has a verdict in both runs",
    "diff good baseline --json": "",
    **{
        f"{command} {trial}": words
        for command in ("explain", "repro")
        for trial, words in {
            "nope": "nope",
            "host": "host",
            "::": "::",
            "host::": "host::",
            "::IN03": "::IN03",
            "host::nothing@good": "no cell host",
            "docker:nope::SG01@good": "docker:nope",
            "docker:a::SG01@good": "2 scenarios have the id SG01",
            "docker:a::threads::nothing@good": "threads::nothing",
            "host::IN03@": "results",
        }.items()
    },
    "report good -o /proc/nowhere": "/proc/nowhere",
    "report good --format html -o empty": "empty",
    "baseline good -o /proc/nowhere": "/proc/nowhere",
    "baseline good -o file.txt": "file.txt",
    **{
        f"export good --format {kind} -o {path}": path
        for kind in ("junit", "ktap", "ctrf", "sqlite")
        for path in ("/proc/nowhere/x", "empty", "file.txt/below")
    },
    # ----------------------------------------------------------------------------------------------------- benchmarks
    **{f"bench {name}": "nope" for name in ("nope", "switch::nope", "'nope::*'", "--list nope", "--quick nope")},
    **{
        f"bench {line}": words
        for line, words in {
            "compare": "compare",
            "compare nope": "compare",
            "compare nope nope2": "nope",
            "compare file.txt file.txt": "file.txt",
            "compare junk.json junk.json": "junk.json",
            "compare empty empty": "empty",
            "compare a b c": "compare",
            "report nope": "nope",
            "report file.txt": "file.txt",
            "report empty": "empty",
            "--peers nope": "nope",
        }.items()
    },
    "worldswitch": "worldswitch",
    # --------------------------------------------------------------------------------------------------- empty values
    **{
        f"{line} ''": words
        for line, words in {
            "run --id": "no scenario has the id",
            "run --profile": "no such profile",
            "run --platform": "no platform is called ''",
            "run --kernel": "no kernel is called",
            "run --rules": "cannot be read",
            "run --engine": "invalid choice: ''",
            "report": "run.json",
            "export --format junit": "run.json",
            "baseline -o new": "run.json",
            "expect update": "run.json",
            "diff good": "run.json",
            "explain": "''",
            "repro": "''",
            "kernels fetch": "no kernel is called",
            "mutants": "no mutant is called ''",
            "bench": "no benchmark is called ''",
            "bisect KD3 --good 5.10 --bad": "no kernel is called",
            "profile record --id": "no scenario has the id",
        }.items()
    },
}

#: A damaged file makes `check` end with 1, as documented.
CHECKED = {
    f"{command} {name}": name
    for command in ("profile check", "expect check")
    for name in ("nope.toml", "junk.toml", "empty", "file.txt", "binary", "junk.json")
    if (command, name) != ("profile check", "nope.toml")
}


def parsers() -> dict[str, argparse.ArgumentParser]:
    """The parser of each command and subcommand, by its words."""
    found, left = {}, [_parser()]
    while left:
        parser = left.pop()
        subs = [action.choices for action in parser._actions if isinstance(action.choices, dict)]
        left += [sub for choices in subs for sub in choices.values()]
        if not subs:
            found[parser.prog.partition(" ")[2]] = parser
    return found


def made() -> Iterator[tuple[str, str]]:
    """Each option of each command misspelt, without its value, with a wrong value; an unknown and a spare word."""
    for command, parser in parsers().items():
        yield f"{command} --nonsense", "--nonsense"
        for action in parser._actions:
            for option in (option for option in action.option_strings if len(option) > 3 and option != "--help"):
                typo = option[:-2] + option[-1] + "q"
                yield f"{command} {typo}", typo
                if action.nargs is None:
                    yield f"{command} {option}", option
            if action.option_strings and (action.choices or action.type in NUMBERS):
                for value in ("nope", "''", "-1", "1.5.5", "0x10", "1e999", "nan"):
                    yield f"{command} {action.option_strings[0]}={value}", action.option_strings[0]


NUMBERS = {action.type for parser in parsers().values() for action in parser._actions if callable(action.type)} - {Path}
MADE = dict(made())
LINES = WRITTEN | MADE


def tree(folder: Path) -> dict[str, bytes]:
    """Every file and folder below a folder, with the contents."""
    return {str(one): one.read_bytes() if one.is_file() else b"" for one in folder.rglob("*")}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with files that are nothing, and with runs: good, other, nothing, damaged, cut."""
    top = tmp_path_factory.mktemp("wrong")
    (top / "file.txt").write_text("a file\n")
    (top / "binary").write_bytes(bytes(range(256)))
    (top / "junk.toml").write_text('name = "junk"\n[[expect]]\nnonsense = 1\n')
    (top / "rules.toml").write_text('about = "x"\n[[expect]]\nneeds = ["ptrac"]\nverdicts = ["fails"]\nreason = "so"\n')
    (top / "junk.json").write_text('{"defaultAction": "nonsense"}\n')
    (top / "empty").mkdir()
    for name, where in {
        "good": place("docker:a", frames(whole(*map(trial, NAMES)))),
        "other": place("oci:b", frames(whole(*map(trial, NAMES)))),
        "nothing": Missing("docker:a", "no engine runs here", "install one"),
    }.items():
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(plan, "plan", planner(where))
            (top / "results" / name).mkdir(parents=True)
            Run(Request(), SCENARIOS, top / "results" / name, Quiet()).go()
    for name in ("damaged", "cut"):
        shutil.copytree(top / "results" / "good", top / "results" / name)
    (top / "results" / "damaged" / "docker-a.jsonl").write_text("{}\n")
    (top / "results" / "cut" / "run.json").write_text('{"format": 1, "run": "x')
    return top


@pytest.fixture
def untouched(folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """The working directory; whatever starts, downloads, writes or hangs makes the test fail."""

    def never(*arguments: object, **_: object) -> None:
        pytest.fail(f"something was started or downloaded: {arguments}")

    for module, name in ((plan, "plan"), (deb_packages, "offers"), (deb_packages, "fetch"), (apt_mirror, "mirror")):
        monkeypatch.setattr(module, name, never)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    before = tree(folder)
    handler = signal.signal(signal.SIGALRM, lambda *_: pytest.fail(f"no answer within {SECONDS} s"))
    signal.alarm(SECONDS)
    yield folder
    signal.alarm(0)
    signal.signal(signal.SIGALRM, handler)
    assert tree(folder) == before
    assert not (tmp_path / "cache" / "worldswitch").exists()


def ended(line: str) -> int:
    """Run a command line here; its exit status."""
    try:
        return main.main([word for word in shlex.split(line) if word != "worldswitch"])
    except SystemExit as end:
        return int(end.code or 0)


@pytest.mark.parametrize(("line", "words"), LINES.items(), ids=LINES)
def test_a_wrong_line_ends_with_2(line: str, words: str, untouched: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status = ended(line)
    printed = capsys.readouterr()
    said = printed.err + printed.out
    assert status == 2, said
    assert words in said
    assert "Traceback" not in said
    assert "object at 0x" not in said


@pytest.mark.parametrize(("line", "words"), CHECKED.items(), ids=CHECKED)
def test_a_checked_file_that_is_wrong_ends_with_1(
    line: str, words: str, untouched: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ended(line) == 1
    said = "".join(capsys.readouterr())
    assert words in said
    assert "Traceback" not in said


def test_there_are_many_lines() -> None:
    assert len(LINES) + len(CHECKED) > 600


SAMPLE = sorted(LINES)[:: max(1, len(LINES) // 12)]


@pytest.mark.parametrize("line", SAMPLE)
def test_a_process_of_its_own_ends_with_2_too(line: str, folder: Path, tmp_path: Path) -> None:
    program = [str(Path(sys.executable).with_name("worldswitch"))]
    before = tree(folder)
    words = [word for word in shlex.split(line) if word != "worldswitch"]
    done = subprocess.run(program + words, capture_output=True, text=True, timeout=60, cwd=folder, check=False)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert tree(folder) == before
