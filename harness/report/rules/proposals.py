"""The edits after which the rules would have expected what came, and no more than that.

    a rule names a scenario that passes now   it no longer names it; a rule about nothing else goes
    all that a rule decides on passes now     it goes
    a rule expects something else             one right before it, with what was seen and the same conditions
    no rule speaks of it                      a new one, with conditions that tell where it was seen from where not
    a rule decides nothing                    it goes
    `tighten`: a verdict was never seen       the rule no longer allows it

Why something is so nobody can read off a run.  New rules say as their reason what the trial said, and as their evidence
which run it was; whoever takes them over puts the true reason there.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from worldswitch.harness.cell_name import REFERENCE
from worldswitch.harness.expectations import rules, stale
from worldswitch.harness.report.rules import toml_edits
from worldswitch.harness.report.rules.hindsight import Hindsight, Seen, look
from worldswitch.harness.report.rules.rulebook import Placed, Rulebook
from worldswitch.harness.report.rules.toml_edits import CannotEdit
from worldswitch.harness.results.reader import KeptRun
from worldswitch.harness.verdict import Verdict

#: Where rules go that are neither a profile's nor a platform's.
OBSERVED = "observed.toml"

_ABOUT = {
    OBSERVED: "What runs have shown on some machines, put down by `worldswitch expect update`.",
    "": "What is known of this platform, put down by `worldswitch expect update`.",
}


#: A rule that goes may uncover another, seldom more than one.
ROUNDS = 4


@dataclass
class Proposal:
    """The rules as they would be, and what people have to see to themselves."""

    book: Rulebook
    left: list[str] = field(default_factory=list)


def propose(run: KeptRun, book: Rulebook, *, tighten: bool = False) -> Proposal:
    """What to change after a run."""
    made = Proposal(book)
    for _ in range(ROUNDS):
        found = look(run, made.book)
        if not found.surprises:
            break
        _of_decided(run, found, made)
        _of_unspoken(run, found, made)
    _drop_idle(look(run, made.book), made)
    if tighten:
        _tighten(look(run, made.book), made)
    found = look(run, made.book)
    made.left += [str(one) for _, one in found.stale if str(one) not in made.left]
    made.left += [
        f"{one.trial.scenario} in {one.cell.name}: {one.trial.verdict.value}, and no edit was found for it"
        for one in found.surprises
    ]
    return made


# ----------------------------------------------------------------------------------------------- where a rule decides


def _of_decided(run: KeptRun, found: Hindsight, made: Proposal) -> None:
    """Rules that expect something else; the last of a file first, so that the others keep their numbers."""
    surprised = dict.fromkeys(seen.by for seen in found.surprises if seen.by)
    for placed in _last_first(surprised):
        decided = [seen for seen in found.seen if seen.by == placed]
        if _is_all_of(placed, run) and all(one.trial.verdict is Verdict.PASS for one in decided):
            _drop(placed, made)
            continue
        groups: dict[Outcome, list[str]] = {}
        for scenario, trials in _by_scenario(decided).items():
            if any(not one.expected for one in trials):
                groups.setdefault(_outcome(trials), []).append(scenario)
        with _or_people(made, placed.rule.source):
            made.book = _amended(run, made.book, placed, groups)


def _is_all_of(placed: Placed, run: KeptRun) -> bool:
    """Whether a run has tried all that a rule is about."""
    rest = stale.left_out(chaos=run.has_chaos)
    return run.is_whole and not any(placed.rule.covers(one.name, one.ids, one.needs) for one in rest)


def _amended(run: KeptRun, book: Rulebook, placed: Placed, found: Mapping[Outcome, Sequence[str]]) -> Rulebook:
    """A rule without the scenarios that it no longer describes, and before it those it never named by themselves."""
    text = book.texts[placed.path]
    table = toml_edits.rules_in(text)[placed.index]
    named = {scenario for scenarios in found.values() for scenario in scenarios} & set(placed.rule.scenarios)
    new = []
    for outcome, scenarios in found.items():
        passing = outcome.verdicts == (Verdict.PASS.value,)
        if names := [one for one in scenarios if not (passing and one in named)]:
            new.append(_rule(run, names, outcome, table.get("when", {}), table.get("why_not_probe", "")))
    if named:
        text = toml_edits.without_scenarios(text, placed.index, named)
    for rule in new:
        text = toml_edits.with_rule(text, placed.index, rule)
    return book.with_text(placed.path, text)


# ----------------------------------------------------------------------------------------------- where no rule speaks


def _of_unspoken(run: KeptRun, found: Hindsight, made: Proposal) -> None:
    """New rules, one for all scenarios that came to the same, and said the same, where the same is so."""
    groups: dict[tuple[Path, str, Outcome], tuple[dict[str, Any], list[str]]] = {}
    unspoken = {one.trial.scenario for one in found.surprises if one.by is None}
    for scenario, trials in _by_scenario(found.seen).items():
        if scenario in unspoken:
            bad = [one for one in trials if one.by is None and not one.expected]
            good = [one for one in trials if one.expected]
            path, when = _place(bad, good, run, made.book)
            groups.setdefault((path, repr(when), _outcome(bad)), (when, []))[1].append(scenario)
    for (path, _, outcome), (when, names) in groups.items():
        rule = _rule(run, names, outcome, when)
        with _or_people(made, path.name):
            text = made.book.texts.get(path) or _new_file(path)
            made.book = made.book.with_text(path, toml_edits.with_rule(text, len(toml_edits.rules_in(text)), rule))


def _place(bad: Sequence[Seen], good: Sequence[Seen], run: KeptRun, book: Rulebook) -> tuple[Path, dict[str, Any]]:
    """The file for a rule about what was seen in some cells and not in others, and under which conditions it holds."""
    platform = _only({one.cell.name.platform for one in bad})
    common = _common(book, platform)
    if platform not in (None, REFERENCE) and all(one.cell.name.platform != platform for one in good):
        if common.name == OBSERVED:
            return common.with_name(f"{platform}.toml"), {}
        return common, {} if book.platform(common) else {"platform": platform}
    name = _telling("profile.name", bad, good)
    if name in book.profiles:
        return book.profiles[name], {}
    fields = sorted({field for one in bad for field in one.known if field.startswith(("probe.", "fact."))}, key=_kind)
    for name in fields:
        if good and (value := _telling(name, bad, good)):
            return common, _nested(name, value)
    if not good and len({one.cell.name.environment for one in bad}) == len(run.cells) > 1:
        return common, {}
    return common, {"environment": sorted({one.cell.name.environment for one in bad})}


def _common(book: Rulebook, platform: str | None) -> Path:
    """The file for rules that are neither a profile's nor a platform's: one's own, if one has such."""
    fitting = (path for path in book.own if book.platform(path) in ("", platform))
    return next(fitting, rules.folder() / OBSERVED)


def _telling(field: str, bad: Sequence[Seen], good: Sequence[Seen]) -> str:
    """The one value that a field has where it was seen, and nowhere else; "" if there is none."""
    value = _only({one.known.get(field) for one in bad})
    return value if isinstance(value, str) and all(one.known.get(field) != value for one in good) else ""


def _kind(field: str) -> tuple[bool, str]:
    return field.startswith("fact."), field


def _nested(field: str, value: str) -> dict[str, Any]:
    group, _, name = field.partition(".")
    return {group: {name: value}}


def _new_file(path: Path) -> str:
    platform = path.stem if path.name != OBSERVED else ""
    head = f'platform = "{platform}"\n' if platform else ""
    return f'{head}about = "{_ABOUT.get(path.name, _ABOUT[""])}"\n'


# --------------------------------------------------------------------------------------------------- what is too much


def _drop_idle(found: Hindsight, made: Proposal) -> None:
    """Rules that decide nothing or are about nothing; an expired one is for people to look at."""
    idle = [placed for placed, one in found.stale if one.why in (stale.COVERS_NOTHING, stale.DECIDES_NOTHING)]
    for placed in _last_first(idle):
        _drop(placed, made)


def _drop(placed: Placed, made: Proposal) -> None:
    with _or_people(made, placed.rule.source):
        made.book = made.book.with_text(
            placed.path, toml_edits.without_rule(made.book.texts[placed.path], placed.index)
        )


def _tighten(found: Hindsight, made: Proposal) -> None:
    for placed, verdicts in found.unseen:
        with _or_people(made, placed.rule.source):
            text = made.book.texts[placed.path]
            kept = [one for one in toml_edits.rules_in(text)[placed.index]["verdicts"] if Verdict(one) not in verdicts]
            made.book = made.book.with_text(placed.path, toml_edits.with_verdicts(text, placed.index, kept))


# ------------------------------------------------------------------------------------------------------------- common


class Outcome(NamedTuple):
    """What scenarios came to in some cells."""

    verdicts: tuple[str, ...]
    said: str  #: the first line of the reason, of the first that gave one


def _outcome(trials: Sequence[Seen]) -> Outcome:
    verdicts = sorted({one.trial.verdict.value for one in trials if not one.excused})
    reasons = (one.trial.reason.strip() for one in trials if not one.expected)
    return Outcome(tuple(verdicts), next((reason.splitlines()[0] for reason in reasons if reason), "it passed"))


def _rule(
    run: KeptRun, names: Iterable[str], outcome: Outcome, when: dict[str, Any], why_not_probe: str = ""
) -> dict[str, Any]:
    rule = {
        "scenarios": sorted(names),
        "when": when,
        "why_not_probe": why_not_probe,
        "verdicts": list(outcome.verdicts),
        "reason": f"seen, and not explained yet: {outcome.said}",
        "evidence": [f"run {run.manifest.run}"],
    }
    return {name: value for name, value in rule.items() if value}


def _by_scenario(seen: Iterable[Seen]) -> dict[str, list[Seen]]:
    found: dict[str, list[Seen]] = {}
    for one in seen:
        found.setdefault(one.trial.scenario, []).append(one)
    return dict(sorted(found.items()))


def _last_first(placed: Iterable[Placed]) -> list[Placed]:
    """So that edits leave the others of a file their numbers."""
    return sorted(placed, key=lambda one: (one.path, one.index), reverse=True)


def _only(values: set[Any]) -> Any:
    return next(iter(values)) if len(values) == 1 else None


@contextlib.contextmanager
def _or_people(made: Proposal, where: str) -> Iterator[None]:
    """What cannot be edited is left to people, with the reason."""
    try:
        yield
    except CannotEdit as problem:
        made.left.append(f"{where}: has to be changed by hand: {problem}")
