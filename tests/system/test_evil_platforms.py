"""A platform that attacks the harness costs its own trial: each attack gets its verdict, and nothing is left behind."""

from __future__ import annotations

import re

import evil
import pytest
from cells import Finished, run_cell

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
