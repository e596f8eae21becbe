"""Proposes the smallest edits that make the rules expect the verdicts of a run.

    a rule names a scenario that now passes   remove the scenario from it; remove the rule if it names no other
    all trials that a rule decides now pass   remove the rule
    a rule expects another verdict            insert a rule before it, with the observed verdicts and its conditions
    no rule covers an unexpected verdict      add a rule, with conditions that separate the cells that have the verdict
    a rule decides nothing                    remove the rule
    `tighten`: a verdict did not occur        remove it from the rule

A run does not show the reason for a verdict.  New rules quote the trial's message as the reason and the run as the
evidence; the person who commits them must replace both.
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
from worldswitch.harness.report.rules.rejudgement import RejudgedTrial, Rejudgement, rejudge
from worldswitch.harness.report.rules.rulebook import PlacedRule, Rulebook
from worldswitch.harness.report.rules.toml_edits import CannotEdit
from worldswitch.harness.results.reader import KeptRun
from worldswitch.harness.verdict import Verdict

Trials = Sequence[RejudgedTrial]

#: The file for new rules that belong to no profile and no platform.
OBSERVED = "observed.toml"

_ABOUT = {
    OBSERVED: "Verdicts observed on some machines, written by `worldswitch expect update`.",
    "": "Verdicts observed on this platform, written by `worldswitch expect update`.",
}

#: A removed rule may expose another, seldom more than one.
ROUNDS = 4


@dataclass
class Proposal:
    """The edited rules."""

    book: Rulebook
    left: list[str] = field(default_factory=list)  #: what must be edited by hand, a line each


def propose(run: KeptRun, book: Rulebook, *, tighten: bool = False) -> Proposal:
    """Return the edits that a run requires; if `tighten`, also remove verdicts that did not occur."""
    proposal = Proposal(book)
    for _ in range(ROUNDS):
        found = rejudge(run, proposal.book)
        if not found.surprises:
            break
        _of_decided(run, found, proposal)
        _of_uncovered(run, found, proposal)
    _drop_idle(rejudge(run, proposal.book), proposal)
    if tighten:
        _tighten(rejudge(run, proposal.book), proposal)
    found = rejudge(run, proposal.book)
    proposal.left += [str(one) for _, one in found.stale if str(one) not in proposal.left]
    proposal.left += [
        f"{one.trial.scenario} in {one.cell.name}: {one.trial.verdict.value}; no edit was found"
        for one in found.surprises
    ]
    return proposal


# --------------------------------------------------------------------------------- trials that a rule decides


def _of_decided(run: KeptRun, found: Rejudgement, proposal: Proposal) -> None:
    """Edit the rules that expect another verdict, from the end of each file, so that indexes stay valid."""
    surprised = dict.fromkeys(seen.by for seen in found.surprises if seen.by)
    for placed in _last_first(surprised):
        decided = [seen for seen in found.seen if seen.by == placed]
        if _is_all_of(placed, run) and all(one.trial.verdict is Verdict.PASS for one in decided):
            _drop(placed, proposal)
            continue
        groups: dict[Outcome, list[str]] = {}
        for scenario, trials in _by_scenario(decided).items():
            if any(not one.expected for one in trials):
                groups.setdefault(_outcome(trials), []).append(scenario)
        with _or_by_hand(proposal, placed.rule.source):
            proposal.book = _amended(run, proposal.book, placed, groups)


def _is_all_of(placed: PlacedRule, run: KeptRun) -> bool:
    """True if the run included every scenario that the rule covers."""
    rest = stale.left_out(chaos=run.has_chaos)
    return run.is_whole and not any(placed.rule.covers(one.name, one.ids, one.needs) for one in rest)


def _amended(run: KeptRun, book: Rulebook, placed: PlacedRule, found: Mapping[Outcome, Sequence[str]]) -> Rulebook:
    """Remove the scenarios in `found` from the rule, and insert rules before it that expect their verdicts."""
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


# --------------------------------------------------------------------------------- trials that no rule covers


def _of_uncovered(run: KeptRun, found: Rejudgement, proposal: Proposal) -> None:
    """Add a rule for each group of scenarios with the same verdicts, message and conditions."""
    groups: dict[tuple[Path, str, Outcome], tuple[dict[str, Any], list[str]]] = {}
    uncovered = {one.trial.scenario for one in found.surprises if one.by is None}
    for scenario, trials in _by_scenario(found.seen).items():
        if scenario in uncovered:
            bad = [one for one in trials if one.by is None and not one.expected]
            good = [one for one in trials if one.expected]
            path, when = _file_and_conditions(bad, good, run, proposal.book)
            groups.setdefault((path, repr(when), _outcome(bad)), (when, []))[1].append(scenario)
    for (path, _, outcome), (when, names) in groups.items():
        rule = _rule(run, names, outcome, when)
        with _or_by_hand(proposal, path.name):
            text = proposal.book.texts.get(path) or _new_file(path)
            proposal.book = proposal.book.with_text(
                path, toml_edits.with_rule(text, len(toml_edits.rules_in(text)), rule)
            )


def _file_and_conditions(bad: Trials, good: Trials, run: KeptRun, book: Rulebook) -> tuple[Path, dict[str, Any]]:
    """The file and the conditions of a rule for the unexpected trials `bad`, which must not hold for `good`."""
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
    """The file for rules that belong to no profile: the user's own if there is one, else `OBSERVED`."""
    fitting = (path for path in book.own if book.platform(path) in ("", platform))
    return next(fitting, rules.folder() / OBSERVED)


def _telling(field: str, bad: Trials, good: Trials) -> str:
    """The single value of a field in all of `bad` and none of `good`; "" if there is none."""
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


# --------------------------------------------------------------------------------------------- superfluous rules


def _drop_idle(found: Rejudgement, proposal: Proposal) -> None:
    """Remove rules that decide nothing or cover nothing; expired rules are left to be edited by hand."""
    idle = [placed for placed, one in found.stale if one.why in (stale.COVERS_NOTHING, stale.DECIDES_NOTHING)]
    for placed in _last_first(idle):
        _drop(placed, proposal)


def _drop(placed: PlacedRule, proposal: Proposal) -> None:
    with _or_by_hand(proposal, placed.rule.source):
        proposal.book = proposal.book.with_text(
            placed.path, toml_edits.without_rule(proposal.book.texts[placed.path], placed.index)
        )


def _tighten(found: Rejudgement, proposal: Proposal) -> None:
    for placed, verdicts in found.unseen:
        with _or_by_hand(proposal, placed.rule.source):
            text = proposal.book.texts[placed.path]
            verdicts_left = [
                one for one in toml_edits.rules_in(text)[placed.index]["verdicts"] if Verdict(one) not in verdicts
            ]
            proposal.book = proposal.book.with_text(
                placed.path, toml_edits.with_verdicts(text, placed.index, verdicts_left)
            )


# ------------------------------------------------------------------------------------------------------------- common


class Outcome(NamedTuple):
    """The verdicts of a scenario in some cells."""

    verdicts: tuple[str, ...]
    message: str  #: the first line of the first reason


def _outcome(trials: Trials) -> Outcome:
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
        "reason": f"observed, not yet explained: {outcome.message}",
        "evidence": [f"run {run.manifest.run}"],
    }
    return {name: value for name, value in rule.items() if value}


def _by_scenario(seen: Iterable[RejudgedTrial]) -> dict[str, list[RejudgedTrial]]:
    found: dict[str, list[RejudgedTrial]] = {}
    for one in seen:
        found.setdefault(one.trial.scenario, []).append(one)
    return dict(sorted(found.items()))


def _last_first(placed: Iterable[PlacedRule]) -> list[PlacedRule]:
    """The rules from the end of each file, so that edits do not change the indexes of the others."""
    return sorted(placed, key=lambda one: (one.path, one.index), reverse=True)


def _only(values: set[Any]) -> Any:
    return next(iter(values)) if len(values) == 1 else None


@contextlib.contextmanager
def _or_by_hand(proposal: Proposal, where: str) -> Iterator[None]:
    """Turn `CannotEdit` into a line of `left`."""
    try:
        yield
    except CannotEdit as problem:
        proposal.left.append(f"{where}: edit this by hand: {problem}")
