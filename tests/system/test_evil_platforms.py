"""A platform that attacks the harness costs its own trial: each attack gets its verdict, and nothing is left behind."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import evil
import pytest
from cells import Finished, run_cell
from paths import PYTHONPATH

SENT = "sent no valid result: "

#: What each attack in a trial is, with the reason.
VERDICTS = {
    "sends_no_json": ("crash", SENT + "Input data was truncated"),
    "sends_deep_json": ("crash", SENT + ".*diagnosis"),
    "sends_a_number_that_is_none": ("crash", SENT + "JSON is malformed"),
    "sends_a_huge_number": ("crash", SENT + "a process or thread with the number 10000"),
    "sends_another_type": ("crash", SENT + "Expected `str`, got `array`"),
    "sends_no_unicode": ("crash", SENT + "Invalid UTF-8"),
    "sends_a_verdict_from_outside": ("crash", SENT + "the verdict miss"),
    "sends_an_asserted_pass": ("crash", SENT + "the verdict pass, by an assertion"),
    "sends_too_much": ("crash", SENT + "it sent more than 2097152 bytes"),
    "sends_a_pass_before_it_fails": ("crash", SENT + "it sent a result twice"),
    "sends_two_results": ("crash", SENT + "it sent a result twice"),
    "sends_the_result_of_another_trial": ("fail", "the platform raised KeyError: 'it fails'"),
    "sends_a_long_reason": ("fail", "^x+\n... 1044480 characters ...\nx+$"),
    "closes_every_descriptor": ("crash", "exited with status 70"),
    "writes_to_every_descriptor": ("pass", ""),
    "takes_from_every_descriptor": ("pass", ""),
    "prints_without_end": ("pass", ""),
    "prints_escapes": ("fail", "the platform raised KeyError: 'it fails'"),
    "notes_a_status_that_is_none": ("fail", "the platform raised KeyError: 'it fails'"),
    "fills_the_shared_memory": ("fail", "the platform raised KeyError: 'it fails'"),
    "raises_a_text_that_is_none": ("fail", "the platform raised KeyError: <exception str"),
    "raises_without_words": ("fail", "the platform raised evil._Wordless: <exception str"),
    "raises_a_number": ("fail", "the platform raised evil._Numeric: <exception str"),
    "raises_five_megabytes": ("fail", "the platform raised .*PlatformError: xxx"),
    "raises_many_lines": ("fail", "the platform raised .*PlatformError: x+$"),
    "raises_surrogates": ("fail", r"the platform raised .*PlatformError: \\ud800 \\udfff"),
    "raises_escapes": ("fail", "the platform raised .*PlatformError: "),
    "raises_a_group": ("fail", "the platform raised ExceptionGroup: many"),
    "raises_an_interrupt": ("fail", "the platform raised KeyboardInterrupt"),
    "raises_another_base": ("fail", "the platform raised evil.Odd: odd"),
    "leaves_pytest": ("fail", "the platform raised _pytest.outcomes.Exit: enough"),
    "leaves_python": ("fail", "the platform raised SystemExit: 0"),
    "leaves_at_once": ("crash", "exited with status 0"),
    "aborts": ("crash", "killed by SIGABRT"),
    "reads_nowhere": ("crash", "killed by SIGSEGV"),
    "recurses": ("fail", "the platform raised RecursionError"),
    "overflows_the_stack": ("crash", "killed by SIGSEGV"),
    "allocates_all_memory": ("fail", "the platform raised MemoryError"),
    "limits_descriptors": ("pass", ""),
    "limits_files": ("pass", ""),
    "limits_processes": ("pass", ""),
    "changes_its_process": ("pass", ""),
    "replaces_modules": ("fail", "the platform replaced _pytest"),
    "stops_the_clock": ("timeout", "no outcome within 6 s"),
    "hides_while_it_hangs": ("timeout", "no outcome within 6 s"),
    "replaces_the_judge": ("fail", "the platform replaced worldswitch.harness.cell.suite.judge"),
    "changes_the_judge": ("fail", "the platform replaced worldswitch.harness.cell.attribution.judge"),
    "mounts": ("pass", ""),
    "kills_its_parent": ("crash", "vanished"),
    "kills_its_parent_and_lives": ("crash", "vanished"),
    "kills_its_group": ("crash", "killed by SIGKILL"),
    "stops_its_parent": ("pass", ""),
    "traces_its_parent": ("pass", ""),
    "stops_itself": ("timeout", "no outcome within 6 s"),
    "reaps_every_child": ("pass", ""),
    "forks_a_bomb": ("fail", "left behind: process .* [0-9]+ more$"),
    "leaves_a_daemon": ("fail", "left behind: process"),
    "leaves_a_chain": ("fail", "left behind: process"),
    "dies_and_leaves_a_chain": ("crash", "killed by SIGKILL; left behind: process"),
    "runs_a_thread_for_ever": ("pass", ""),
    "writes_files": ("pass", ""),
}

BOUND = 1 << 19  #: bytes of a record; the transcript, the output and the detail have 160 KiB, which JSON may double


@pytest.fixture(scope="module")
def attacked() -> Finished:
    return run_cell("--scenarios", "attacks", "--platform", "evil:Evil", "-n", "2")


def test_no_trial_is_lost_and_nothing_is_left(attacked: Finished) -> None:
    assert (attacked.status, attacked.misses, attacked.left, attacked.noise) == (0, [], (), ())
    assert "INTERNALERROR" not in attacked.log
    unnoticed = [trial.verdict.value for trial in attacked.run.trials if "does_not_notice" in trial.scenario]
    assert unnoticed == ["pass"] * 4


@pytest.mark.parametrize("attack", evil.ATTACKS)
def test_each_attack_has_its_verdict(attacked: Finished, attack: str) -> None:
    trial = next(trial for trial in attacked.run.trials if trial.scenario.endswith(f"[{attack}]"))
    verdict, reason = VERDICTS[attack]
    assert (trial.verdict.value, trial.assertion) == (verdict, False), trial.reason
    assert re.search(reason, trial.reason), trial.reason


def test_no_record_is_large(attacked: Finished) -> None:
    sizes = {trial.scenario: len(str(trial)) for trial in attacked.run.trials}
    assert {name: size for name, size in sizes.items() if size > BOUND} == {}


SWITCHES = "a_guest_calls_getpid"

#: What each attack while the platform is imported is, with the reason.
IMPORTS = {
    "exits": ("crash", "while importing the platform: .*exited with status 0"),
    "interrupts": ("crash", "exited with status 70: KeyboardInterrupt"),
    "raises_a_base": ("crash", "exited with status 70: BaseException: nothing else"),
    "raises_five_megabytes": ("error", "RuntimeError: x+\n... [0-9]+ characters"),
    "raises_escapes": ("error", "RuntimeError: "),
    "raises_without_words": ("error", "importing evil_import raised _Wordless"),
    "prints_escapes_and_dies": ("crash", "exited with status 3: .* the end"),
    "kills_its_parent": ("crash", "vanished"),
    "kills_its_group": ("crash", "killed by SIGKILL"),
    "closes_every_descriptor": ("crash", "exited with status 70"),
    "limits_descriptors": ("pass", ""),
    "limits_files": ("pass", ""),
    "changes_its_process": ("pass", ""),
    "prints_a_lot": ("pass", ""),
    "starts_a_thread": ("pass", ""),
    "leaves_a_daemon": ("fail", "left behind: process"),
    "leaves_a_chain": ("fail", "left behind: process"),
    "stops_the_clock": ("fail", "the platform replaced time.monotonic"),
    "replaces_the_judge": ("fail", "the platform replaced worldswitch.harness.cell.attribution.judge"),
    "replaces_fork": ("pass", ""),
}


@pytest.mark.parametrize("attack", IMPORTS)
def test_an_attack_at_import_has_its_verdict(attack: str) -> None:
    options = ("--scenarios", "claims", "--platform", "evil_import:Platform", "-k", SWITCHES)
    finished = run_cell(*options, EVIL=attack)
    verdict, reason = IMPORTS[attack]
    trial = finished.trial
    assert (trial.verdict.value, finished.left, finished.noise) == (verdict, (), ()), finished.log
    assert re.search(reason, trial.reason, re.DOTALL), trial.reason
    assert finished.status == (0 if verdict == "pass" else 2)
    assert len(finished.log) < BOUND


LOADED = "import atexit, sys; atexit.register(lambda: print('loaded:', 'platform' in sys.modules, file=sys.stderr))"


def test_the_judge_never_imports_the_platform() -> None:
    first = LOADED.replace("'platform'", "'fakes'")
    finished = run_cell("--scenarios", "claims", "--platform", "fakes:Passes", "-k", SWITCHES, first=first)
    assert finished.trial.verdict.value == "pass"
    assert "loaded: False" in finished.log


#: What no output may have: the sequences of `evil.ESCAPES`, and lines that begin as those of a summary or a command do.
RAW = re.compile(
    rb"\x1b\]|\x1b\[2J|\x07|\r|\xc2\x9b|\xe2\x80\xae|^453 passed|^\s*::error::|##\[error\]owned", re.MULTILINE
)

#: Escapes in the results of a run, and the JSON of what they stand for.
FORGED = {r"\\x1b": r"\u001b", r"\\x07": r"\u0007", r"\\r453": r"\r453", r"\\x3a:": "::", r"\\x23#": "##"}
FORGED |= {r"\\u202e": r"\u202e", r"\\x9b": r"\u009b"}


def command(folder: Path, *words: str, **environment: str) -> bytes:
    """What a command prints."""
    called = [sys.executable, "-m", "worldswitch.harness.cli.main", *words]
    variables = {**os.environ, "PYTHONPATH": PYTHONPATH, "PYTHONSAFEPATH": "1", **environment}
    return subprocess.run(
        called, cwd=folder, env=variables, stdout=-1, stderr=subprocess.STDOUT, timeout=120, check=False
    ).stdout


@pytest.fixture(scope="module")
def spoken(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes]:
    """A folder with the results of a platform that says what a terminal would obey, and what the run printed."""
    folder = tmp_path_factory.mktemp("spoken")
    words = ("--engine", "host", "--platform", "evil:Speaks", "--id", "TT04", "--repeat", "quick", "-v")
    github = {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(folder / "summary.md")}
    return folder, command(folder, "run", *words, **github)


def reports(folder: Path, run: str) -> dict[str, bytes]:
    """What each command says about a run, and the files that it writes."""
    trial = f"host/evil:Speaks::threads::a_context_runs_on_one_thread_at_a_time@{run}"
    found = {" ".join(words): command(folder, *words) for words in (("explain", trial), ("diff", run, run))}
    found["expect"] = command(folder, "expect", "update", run)
    for form in ("text", "markdown", "html"):
        found[form] = command(folder, "report", run, "--format", form)
    for form in ("junit", "ktap", "ctrf"):
        found[form] = command(folder, "export", run, "--format", form, "-o", f"export.{form}")
    return found | {path.name: path.read_bytes() for path in (*folder.glob("export.*"), *(folder / run).glob("*.html"))}


def test_what_a_platform_says_is_legible_in_every_output(spoken: tuple[Path, bytes]) -> None:
    folder, printed = spoken
    (run,) = folder.glob("results/*/")
    own = {path.name: path.read_bytes() for path in (folder / "summary.md", *run.iterdir())}
    said = {"run": printed} | own | reports(folder, str(run.relative_to(folder)))
    assert b"owned" in printed
    assert {name: RAW.findall(text) for name, text in said.items() if RAW.search(text)} == {}


def test_what_the_results_of_others_say_is_legible_in_every_output(spoken: tuple[Path, bytes]) -> None:
    folder, _ = spoken
    (run,) = folder.glob("results/*/")
    shutil.copytree(run, folder / "other")
    for path in (*(folder / "other").glob("*.jsonl"), folder / "other" / "run.json"):
        text = path.read_text()
        for shown, forged in FORGED.items():
            text = text.replace(shown, forged)
        path.write_text(text)
    assert r"\u001b]0;owned" in (folder / "other" / "host-evil-Speaks.jsonl").read_text()
    said = reports(folder, "other")
    assert b"owned" in said["text"]
    assert {name: RAW.findall(text) for name, text in said.items() if RAW.search(text)} == {}


@pytest.mark.parametrize("attack", ["prints_escapes_and_dies", "raises_escapes"])
def test_a_refusal_is_legible(attack: str, tmp_path: Path) -> None:
    words = ("run", "--engine", "host", "--platform", "evil_import:Platform", "--id", "TT04")
    printed = command(tmp_path, *words, EVIL=attack)
    assert b"owned" in printed
    assert not RAW.search(printed)
    assert list(tmp_path.iterdir()) == []


def test_the_command_never_imports_the_platform(tmp_path: Path) -> None:
    first = LOADED.replace("'platform'", "'fakes'")
    text = f"{first}\nfrom worldswitch.harness.cli.main import main\nsys.exit(main(sys.argv[1:]))"
    words = ("run", "--engine", "host", "--platform", "fakes:Passes", "--id", "TT04", "--repeat", "quick")
    variables = {**os.environ, "PYTHONPATH": PYTHONPATH, "PYTHONSAFEPATH": "1"}
    called = [sys.executable, "-c", text, *words]
    finished = subprocess.run(called, cwd=tmp_path, env=variables, capture_output=True, timeout=120, check=False)
    assert b"loaded: False" in finished.stderr
