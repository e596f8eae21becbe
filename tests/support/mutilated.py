"""Fictitious mutants, and a scripted host whose cells fail on each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from scripted import NAMES, Scripted, ScriptedCell, frames, trial, whole

from worldswitch.harness.cell.records import Trial
from worldswitch.harness.verdict import Verdict

ONE, OTHER, THIRD = NAMES  # the first two stand under one id, SG01

LUCKY = 9  #: the seed that kills the mutant Fickle


@dataclass
class Mutilated:
    name: str
    caught_by: tuple[str, ...] = ("SG01",)
    about: str = "Forgets <everything>."
    origin: str = "seed.W1"
    module: str = "mutants.memory"
    factory: None = None


def bitten(name: str = ONE) -> Trial:
    """A trial that failed by its own assertion."""
    return trial(name, Verdict.FAIL, assertion=True, reason="assert 1 == 2")


def meet(arguments: Sequence[str]) -> ScriptedCell:
    """Return a cell in which the reference passes all, and each mutant fails the scenarios listed for it."""
    words = list(arguments)
    mutant = words[words.index("--mutant") + 1] if "--mutant" in words else None
    named = [words[number + 1] for number, word in enumerate(words) if word == "--id"] or list(NAMES)
    lucky = str(LUCKY) in words
    bites = {
        "Fickle": NAMES if lucky else (),
        "Slow": NAMES if lucky else (ONE,),
        "Forgetful": (ONE,),
        "Vanished": (THIRD,),
        "Broken": NAMES,
    }.get(mutant or "", ())
    return ScriptedCell(
        frames(whole(*(bitten(name) if name in bites else trial(name) for name in named), mutant=mutant))
    )


def host() -> Scripted:
    """A host with these cells."""
    return Scripted("host", meet)
