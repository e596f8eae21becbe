"""Each fake platform gets exactly its verdict, and leaves nothing behind."""

from __future__ import annotations

import re

import pytest
from cells import run_cell

SWITCHES = "a_guest_calls_getpid"
UNMAPS = "a_range_that_overflows_is_refused"
LOOKS_INSIDE = "it_looks_inside"
NEEDS_MORE = "a_denial_of_ptrace_is_looked_for"

#: The fake, the scenario it is put to, its verdict, whether by the scenario's own assertion, and why.
TABLE = (
    ("Passes", SWITCHES, "pass", False, ""),
    ("Passes", UNMAPS, "pass", False, ""),
    ("Answers", SWITCHES, "fail", True, "AssertionError"),
    ("AcceptsAnything", UNMAPS, "fail", True, "DID NOT RAISE"),
    ("RaisesTheWrongType", UNMAPS, "fail", False, "the platform raised KeyError: 4096"),
    ("RaisesAPlatformError", SWITCHES, "fail", False, "the platform raised .*StubDied"),
    ("CannotClose", SWITCHES, "fail", False, "the platform raised OSError: cannot close"),
    ("Skips", SWITCHES, "fail", False, "the platform raised Skipped"),
    ("Interrupts", SWITCHES, "fail", False, "the platform raised KeyboardInterrupt"),
    ("DiesAtStart", SWITCHES, "crash", False, "exited with status 3"),
    ("DiesInSwitch", SWITCHES, "crash", False, "killed by SIGKILL"),
    ("DiesInClose", SWITCHES, "crash", False, "killed by signal 50"),
    ("HangsInSwitch", SWITCHES, "timeout", False, "no outcome within 1 s"),
    ("HangsInClose", SWITCHES, "timeout", False, "no outcome within 1 s"),
    ("HangsAtExit", SWITCHES, "pass", False, ""),
    ("LiesAboutACapability", LOOKS_INSIDE, "fail", False, "the platform raised PermissionError: nobody"),
    ("Passes", LOOKS_INSIDE, "unsupported", False, "not Inspectable"),
    ("LacksWhatItNeeds", SWITCHES, "fail", False, "the platform raised .*Unavailable: no flux capacitor"),
    ("DiesAtStart", NEEDS_MORE, "unsupported", False, "needs ptrace_denied: ptrace is allowed"),
    ("LeavesATracedChild", SWITCHES, "fail", False, "left behind: process .* state t"),
    ("LeavesAnUntracedChild", SWITCHES, "fail", False, "left behind: process"),
    ("LetsOneEscape", SWITCHES, "fail", False, "left behind: process"),
    ("DiesAndLeavesOne", SWITCHES, "crash", False, "exited with status 9; left behind: process"),
    ("FloodsStderr", SWITCHES, "pass", False, ""),
    ("PrintsJunk", SWITCHES, "pass", False, ""),
)


@pytest.mark.parametrize(("fake", "scenario", "verdict", "assertion", "reason"), TABLE)
def test_verdict(fake: str, scenario: str, verdict: str, assertion: bool, reason: str) -> None:
    finished = run_cell("--scenarios", "claims", "--platform", f"fakes:{fake}", "-k", scenario, "--deadline", "1")
    trial = finished.trial
    assert (trial.verdict.value, trial.assertion) == (verdict, assertion), trial
    assert re.search(reason, trial.reason)
    assert finished.left == ()
    assert finished.status == 0
    assert finished.noise == ()


#: What cannot even be loaded: how it is named, what every trial then is, and what the cell says.
UNLOADABLE = (
    ("no_such_module:Platform", "error", "importing no_such_module raised ModuleNotFoundError"),
    ("fakes:Nobody", "error", "the module fakes has no Nobody"),
    ("fakes:not_callable", "error", "is of type int, expected a class or function"),
    ("nobody", "error", "no platform is called 'nobody': .*reference"),
    ("imports.raises:Platform", "error", "importing imports.raises raised RuntimeError: not today"),
    ("imports.exits:Platform", "error", "importing imports.exits raised SystemExit"),
    ("imports.dies:Platform", "crash", "while importing the platform: .*killed by SIGKILL"),
)


@pytest.mark.parametrize(("platform", "verdict", "said"), UNLOADABLE)
def test_what_cannot_be_loaded(platform: str, verdict: str, said: str) -> None:
    finished = run_cell("--scenarios", "claims", "--platform", platform, "-k", "basics")
    assert set(finished.verdicts.values()) == {verdict}
    assert finished.status == 2
    assert re.search(f"could not run: .*{said}", finished.log)


def test_the_last_words_of_a_flood_are_kept() -> None:
    finished = run_cell("--scenarios", "claims", "--platform", "fakes:FloodsAndDies", "-k", SWITCHES)
    assert finished.trial.output.endswith("the last words\n")
    assert len(finished.trial.output) < 1 << 17
