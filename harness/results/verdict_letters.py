"""A verdict as one letter, where there are very many: small if it was expected, a capital if not."""

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
ABSENT = "-"  #: of a scenario that was not planned in a cell

VERDICTS = {letter: verdict for verdict, letter in LETTERS.items()}


def letter_of(judged: Judged | None) -> str:
    """The letter of a trial."""
    if judged is None:
        return ABSENT
    letter = LETTERS[judged.trial.verdict]
    return letter if judged.judgement.expected else letter.upper()
