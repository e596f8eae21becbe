"""What a cell reports is kept as it came, judged once, and completed by what it did not report."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from scripted import NAMES, SCENARIOS, footer, header, trial, whole

from worldswitch.harness.cell import records as results
from worldswitch.harness.cell.records import Record, Trial
from worldswitch.harness.cell_name import CellName
from worldswitch.harness.expectations import conditions
from worldswitch.harness.expectations.excuses import HostAbilities
from worldswitch.harness.expectations.judgement import PASSES, Expectation, Judgement
from worldswitch.harness.expectations.outcome import CellOutcome, Judged, Problem
from worldswitch.harness.results.errors import Damaged
from worldswitch.harness.results.writer import CellWriter
from worldswitch.harness.run import cell_account
from worldswitch.harness.run.cell_account import CellAccount, CellBasis
from worldswitch.harness.verdict import Verdict

HOST, MINE = CellName("host"), CellName("host", "a:Mine")
DOCKER, VM = CellName("docker:a"), CellName("linux-6.12:a")
ONE, OTHER, DENIED = NAMES  # the last needs `ptrace_denied`
ALL = tuple(trial(name) for name in NAMES)
EXPECTED = Judgement(True, PASSES)
UNEXPECTED = Judgement(False, PASSES)
NO_MACHINE = "this machine does not have what they need"
NOWHERE = HostAbilities()  #: a run that is driven from some other machine
HERE = HostAbilities("Linux", frozenset({"ptrace_denied"}))  #: one that has it, and the kernel of the headers


class Listener:
    """A watcher that notes each word with all that it is told."""

    def __init__(self) -> None:
        self.heard: list[tuple[object, ...]] = []

    def __getattr__(self, word: str) -> object:
        return lambda *told: self.heard.append((word, *told))


@pytest.fixture
def listener() -> Listener:
    return Listener()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / HOST.file


@pytest.fixture
def opened(listener: Listener, file: Path) -> object:
    """Open a ledger of these lines, and have it take these records."""

    def opened(
        records: Iterable[Record] = (),
        cell: CellName = HOST,
        machine: HostAbilities = NOWHERE,
        lines: Iterable[Expectation] = (),
        **standing: object,
    ) -> CellAccount:
        judged_by = CellBasis(rules=tuple(lines), machine=machine, **standing)
        made = CellAccount(
            cell, judged_by, {one.name: one for one in SCENARIOS}, CellWriter(file.parent, cell), listener
        )
        for record in records:
            made.take(record)
        return made

    return opened


def missed(number: int, reason: str) -> Judged:
    one = SCENARIOS[number]
    values = {"ids": one.ids, "claim": one.claim, "clauses": one.clauses, "reason": reason}
    return Judged(trial(one.name, Verdict.MISS, **values), UNEXPECTED)


def test_what_comes_is_kept_and_told(opened, listener: Listener, file: Path) -> None:
    opened(whole(*ALL))
    assert file.read_bytes() == b"".join(results.encode(record) + b"\n" for record in whole(*ALL))
    assert listener.heard == [("cell_plans", HOST, 3), *(("trial_ends", HOST, Judged(one, EXPECTED)) for one in ALL)]


def test_a_trial_that_begins_is_told(opened, listener: Listener) -> None:
    opened().begin(ONE)
    assert listener.heard == [("trial_begins", HOST, ONE)]


def test_what_is_planned_is_what_was_asked_for_until_the_cell_says_it(opened) -> None:
    assert opened().planned == NAMES
    assert opened([header([OTHER])]).planned == (OTHER,)
    assert opened([header([])]).planned == ()


def test_a_whole_cell_comes_to_its_verdicts(opened, listener: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cell_account, "time", SimpleNamespace(monotonic=iter([10.0, 12.5]).__next__))
    outcome = opened(whole(*ALL)).close(None)
    assert outcome == CellOutcome(HOST, tuple(Judged(one, EXPECTED) for one in ALL), 2.5, None)
    assert listener.heard[-1] == ("cell_ends", outcome)


def test_what_never_came_is_a_miss_that_says_why(opened) -> None:
    died = Problem("it died")
    outcome = opened([header(), ALL[1]]).close(died)
    assert outcome.judged == (Judged(ALL[1], EXPECTED), missed(0, "it died"), missed(2, "it died"))
    assert outcome.problem is died


def test_a_cell_that_never_spoke_misses_what_was_asked_for(opened) -> None:
    judged = opened().close(None).judged
    assert judged == tuple(missed(number, "planned, and never reported") for number in range(3))


def test_a_miss_that_cannot_be_kept_is_one_all_the_same(opened, file: Path) -> None:
    """The disk is full: that is the problem already."""
    made = opened([header()], lines=[Expectation(("*",), frozenset({Verdict.BLOCKED}), "so")])
    (file.parent / "judgements.jsonl").mkdir()
    outcome = made.close(Problem("no room"))
    assert [one.trial.verdict for one in outcome.judged] == [Verdict.MISS] * 3


def test_a_miss_of_a_scenario_nobody_here_knows_is_told_by_its_name(opened) -> None:
    (judged,) = opened([header(["new::one"])]).close(Problem("it died")).judged
    assert judged == Judged(Trial(scenario="new::one", verdict=Verdict.MISS, reason="it died"), UNEXPECTED)


def test_a_miss_of_a_parametrised_scenario_has_its_ids(opened) -> None:
    (judged,) = opened([header([f"{ONE}[a]"])]).close(None).judged
    assert (judged.trial.scenario, judged.trial.ids) == (f"{ONE}[a]", ("SG01",))


#: What came before, what cannot come then, and what is said of it.
REFUSED = (
    ([header()], header(), "a second header"),
    ([], ALL[0], f"a verdict on {ONE!r}, which no header planned"),
    ([header([OTHER])], ALL[0], f"a verdict on {ONE!r}, which no header planned"),
    ([header(), ALL[0]], ALL[0], f"a second verdict on {ONE!r}"),
    ([header(), ALL[0]], footer(ALL), "the footer counts {'pass': 3}, and {'pass': 1} came"),
)


@pytest.mark.parametrize(("before", "record", "said"), REFUSED)
def test_what_cannot_be_is_refused_and_leaves_no_trace(
    opened, file: Path, listener: Listener, before: list[Record], record: Record, said: str
) -> None:
    made = opened(before)
    heard = list(listener.heard)
    with pytest.raises(Damaged) as caught:
        made.take(record)
    assert str(caught.value) == said
    assert listener.heard == heard
    assert (file.read_bytes() if file.exists() else b"") == b"".join(results.encode(one) + b"\n" for one in before)


# ------------------------------------------------------------------------------------------------------------- excuses


def judgement(opened, name: str, verdict: Verdict, cell: CellName = HOST, **probes: str) -> Judgement:
    """What is thought of one trial where the probes found this."""
    return opened([header([name], None, **probes), trial(name, verdict)], cell).close(None).judged[0].judgement


def excused(verdict: Verdict, reason: str) -> Judgement:
    return Judgement(True, PASSES | {verdict}, reason)


@pytest.mark.parametrize("cell", [HOST, MINE])
@pytest.mark.parametrize("name", [DENIED, f"{DENIED}[a]"])
def test_what_the_machine_lacks_is_excused(opened, cell: CellName, name: str) -> None:
    found = judgement(opened, name, Verdict.UNSUPPORTED, cell, ptrace_denied="no")
    assert found == excused(Verdict.UNSUPPORTED, NO_MACHINE)


def test_the_excuse_of_one_verdict_is_none_for_another(opened) -> None:
    assert judgement(opened, DENIED, Verdict.BLOCKED, ptrace_denied="no") == UNEXPECTED
    assert judgement(opened, DENIED, Verdict.BLOCKED, MINE, ptrace_denied="yes") == UNEXPECTED
    assert judgement(opened, DENIED, Verdict.FAIL, ptrace_denied="no") == UNEXPECTED


def test_a_need_that_nobody_knows_to_be_absent_is_no_excuse(opened) -> None:
    assert judgement(opened, ONE, Verdict.UNSUPPORTED) == UNEXPECTED
    assert judgement(opened, DENIED, Verdict.UNSUPPORTED) == UNEXPECTED
    assert judgement(opened, DENIED, Verdict.UNSUPPORTED, ptrace_denied="denied") == UNEXPECTED


def test_what_the_machine_has_was_taken_by_the_profile(opened) -> None:
    """What a container on this kernel lacks is no lack of the machine: a rule has to say so."""
    records = [header([DENIED], None, ptrace_denied="no"), trial(DENIED, Verdict.UNSUPPORTED)]
    assert opened(records, DOCKER, HERE).close(None).judged[0].judgement == UNEXPECTED
    elsewhere = replace(HERE, kernel="another")
    assert opened(records, VM, elsewhere).close(None).judged[0].judgement == excused(Verdict.UNSUPPORTED, NO_MACHINE)


def test_what_an_ordinary_user_may_not_do_is_excused_on_the_host_alone(opened) -> None:
    ordinary = HostAbilities(is_root=False)
    records = [header([DENIED], None, ptrace_denied="denied"), trial(DENIED, Verdict.BLOCKED)]
    found = {
        (cell, machine.is_root): opened(records, cell, machine).close(None).judged[0].judgement
        for cell in (HOST, DOCKER)
        for machine in (ordinary, NOWHERE)
    }
    assert found.pop((HOST, False)) == excused(Verdict.BLOCKED, "this user may not do what they need")
    assert set(found.values()) == {UNEXPECTED}
    other = [header([DENIED], None, ptrace_denied="no"), trial(DENIED, Verdict.BLOCKED)]
    assert opened(other, HOST, ordinary).close(None).judged[0].judgement == UNEXPECTED


def test_another_platform_may_do_without_an_optional_part(opened) -> None:
    optional = excused(Verdict.UNSUPPORTED, "this platform does not implement an optional part")
    assert judgement(opened, ONE, Verdict.UNSUPPORTED, MINE) == optional
    assert judgement(opened, "new::one", Verdict.UNSUPPORTED, MINE) == optional


@pytest.mark.parametrize(
    ("probes", "excuse"),
    [
        ({"ptrace_denied": "yes"}, "this platform does not implement an optional part"),
        ({"smp": "no"}, "this platform does not implement an optional part"),  # of its own need nothing is known
        ({"ptrace_denied": "no"}, ""),
        ({"ptrace_denied": "denied"}, ""),
    ],
)
def test_but_only_where_everything_else_it_needs_is_there(opened, probes: dict[str, str], excuse: str) -> None:
    records = [header([DENIED], None, **probes), trial(DENIED, Verdict.UNSUPPORTED)]
    (judged,) = opened(records, MINE, HERE).close(None).judged
    assert judged.judgement == (excused(Verdict.UNSUPPORTED, excuse) if excuse else UNEXPECTED)


def test_a_line_of_the_profile_covers_by_name_by_id_and_by_need(opened) -> None:
    blocked = frozenset({Verdict.BLOCKED})
    lines = [
        Expectation(("SG01",), blocked, "by id"),
        Expectation((), blocked, "by need", frozenset({"ptrace_denied"})),
    ]
    judged = opened([header(), trial(OTHER, Verdict.BLOCKED), trial(DENIED, Verdict.BLOCKED)], lines=lines).close(None)
    assert [one.judgement.reason for one in judged.judged[:2]] == ["by id", "by need"]
    assert all(one.judgement.expected for one in judged.judged[:2])


def test_only_rules_whose_conditions_hold_in_the_cell_decide(opened) -> None:
    """The cell's own probes, its environment and its profile decide; before its header nothing is known."""
    fails = frozenset({Verdict.FAIL})
    rules = [
        Expectation(("SG01",), fails, "not here", when=conditions.parse({"probe": {"sysemu": "no"}})),
        Expectation(("SG01",), fails, "not so", when=conditions.parse({"profile": {"user": "1:1"}})),
        Expectation(
            ("SG01",), fails, "so", when=conditions.parse({"profile": {"user": "!0:0"}, "environment": "docker:*"})
        ),
        Expectation(("SG01",), fails, "too late", when=conditions.parse({"engine": {"kind": "docker"}})),
    ]
    records = [header([ONE], None, sysemu="yes"), trial(ONE, Verdict.FAIL)]
    records[0].environment["engine"] = "Docker 20.10.24"
    standing = {"profile": {"user": "65534:65534"}}
    outcome = opened(records, DOCKER, lines=rules, **standing).close(None)
    assert outcome.rules == tuple(rules[2:])
    assert outcome.judged[0].judgement == Judgement(True, fails, "so")
    assert opened([], DOCKER, lines=rules, **standing).close(None).rules == ()
