"""A verdict as one letter: lower case if it was expected, upper case if not."""

from __future__ import annotations

from worldswitch.harness.expectations.outcome import Judged
from worldswitch.harness.verdict import Verdict

LETTERS = {
    Verdict.PASS: "p",
    Verdict.FAIL: "f",
    Verdict.TIMEOUT: "t",
    Verdict.CRASH: "c",
    Verdict.UNSUPPORTED: "u",
    Verdict.BLOCKED: "b",
    Verdict.ERROR: "e",
    Verdict.MISS: "m",
}
ABSENT = "-"  #: the scenario was not planned in the cell

VERDICTS = {letter: verdict for verdict, letter in LETTERS.items()}


def letter_of(judged: Judged | None) -> str:
    """Return the letter of a trial; `ABSENT` for None."""
    if judged is None:
        return ABSENT
    letter = LETTERS[judged.trial.verdict]
    return letter if judged.judgement.expected else letter.upper()
