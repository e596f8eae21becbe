"""Says what a filter does to this suite: whether a ptrace sandbox can run under it, and which calls it denies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from worldswitch.harness.catalogue import scenarios as catalogue
from worldswitch.harness.cell.probes.needs import IMPLIED
from worldswitch.harness.cell.probes.table import PROBES
from worldswitch.harness.environments.profiles import profile as profiles
from worldswitch.harness.environments.simulation import record
from worldswitch.harness.environments.simulation.effect import (
    FilterEffect,
    call_text,
    effect_of,
)
from worldswitch.harness.environments.simulation.library import Rejected
from worldswitch.harness.environments.simulation.record import Record
from worldswitch.harness.errors import Unobtainable
from worldswitch.harness.verdict import Verdict

RUNTIMES = ("runc", "crun")
QUESTION = "can a ptrace sandbox run under this filter?"


def lines(path: Path) -> Iterator[str]:
    """Yield what the filter of a valid file does, for each runtime whose answers differ."""
    found = record.load()
    if found is None:
        yield "the effect of its filter is not known: there is no record of this architecture's system calls"
        return
    told: list[str] = []
    for runtime in RUNTIMES:
        text = list(_of_runtime(path, runtime, found))
        if text and text != told:
            yield from (text if not told else [f"with {runtime}:", *(f"  {line}" for line in text)])
        told = told or text


def _of_runtime(path: Path, runtime: str, found: Record) -> Iterator[str]:
    if runtime not in found.starts:
        return
    try:
        effect = _effect(path, runtime, found)
    except Rejected as problem:
        yield f"{QUESTION}  no: no container starts: {problem}"
        return
    except Unobtainable as problem:
        yield f"{QUESTION}  no: {problem.reason}"
        return
    if effect is None:
        yield f"{QUESTION}  yes: the profile has no filter"
        return
    yield f"{QUESTION}  {answer(effect)}"
    yield from _verdicts(effect)
    yield from _denials(effect, found)


def _effect(path: Path, runtime: str, found: Record) -> FilterEffect | None:
    return effect_of(profiles.load(path), runtime, found)


def answer(effect: FilterEffect) -> str:
    """Return the answer to `QUESTION`: yes, no or perhaps, with the reason."""
    for found in (effect.start, effect.platform, effect.needs(tuple(IMPLIED))):
        if found.verdict is not Verdict.PASS:
            return f"{'no' if found.verdict else 'perhaps'}: {found.reason}"
    return "yes"


def _verdicts(effect: FilterEffect) -> Iterator[str]:
    predicted = [effect.of(one.name, one.needs) for one in catalogue.scenarios()]
    counts = Counter(one.verdict for one in predicted)
    names = [f"{counts[verdict]} {verdict.value}" for verdict in Verdict if counts[verdict]]
    rest = [f"{counts[None]} not predicted"] if counts[None] else []
    yield f"predicted verdicts: {', '.join([*names, *rest])}"


def _denials(effect: FilterEffect, found: Record) -> Iterator[str]:
    """Yield the denied calls by rule and answer, with what each group stops."""
    groups: dict[tuple[str, str], dict[str, None]] = {}
    for denial in effect.every():
        groups.setdefault((denial.answer.rule, str(denial.answer)), {})[denial.key] = None
    if groups:
        yield "of the calls that this suite makes it denies:"
    fatal = {one.key for one in effect.fatal}
    for (rule, said), keys in groups.items():
        yield f"  by {rule} ({said}): {named(list(keys))}"
        if stopping := [key for key in keys if key in fatal]:
            yield f"    no container starts without: {named(stopping)}"
        changed = [name for name in PROBES if name in found.probes and _changes(effect, name, keys)]
        if changed and not fatal:
            yield f"    changes the probes {' '.join(changed)}"


def _changes(effect: FilterEffect, name: str, keys: Collection[str]) -> bool:
    denial = effect.probe(name)[1]
    return denial is not None and denial.key in keys


def named(keys: Sequence[str]) -> str:
    """Return calls as text, each once: without arguments, but for the requests of ptrace."""
    shown = (call_text(key) if key.startswith("ptrace:") else key.partition(":")[0] for key in keys)
    return " ".join(dict.fromkeys(shown))
