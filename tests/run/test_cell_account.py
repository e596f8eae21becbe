"""The records of a cell are written as received, judged once, and completed by misses."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest
from scripted import NAMES, SCENARIOS, header, trial, whole

from worldswitch.harness.cell import records as results
from worldswitch.harness.cell.records import Header, Record, Trial
from worldswitch.harness.cell_name import CellName
from worldswitch.harness.expectations import conditions
from worldswitch.harness.expectations.excuses import HostAbilities
from worldswitch.harness.expectations.judgement import PASSES, Expectation, Judgement
from worldswitch.harness.expectations.outcome import CellOutcome, Judged, Problem
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
NOWHERE = HostAbilities()  #: of another machine
HERE = HostAbilities("Linux", frozenset({"ptrace_denied"}))  #: meets the need, and has the kernel of the headers


class Listener:
    """A watcher that notes each call with its arguments."""

    def __init__(self) -> None:
        self.heard: list[tuple[object, ...]] = []

    def __getattr__(self, word: str) -> object:
        return lambda *arguments: self.heard.append((word, *arguments))


@pytest.fixture
def listener() -> Listener:
    return Listener()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / HOST.file


@pytest.fixture
def opened(listener: Listener, file: Path) -> object:
    """Make an account with these rules, and pass it these records."""

    def opened(
        records: Iterable[Record] = (),
        cell: CellName = HOST,
        machine: HostAbilities = NOWHERE,
        rules: Iterable[Expectation] = (),
        **basis: object,
    ) -> CellAccount:
        judged_by = CellBasis(rules=tuple(rules), machine=machine, **basis)
        made = CellAccount(
            cell, judged_by, {one.name: one for one in SCENARIOS}, CellWriter(file.parent, cell), listener
        )
        for record in records:
            is_header = isinstance(record, Header)
            made.take(msgspec.structs.replace(record, platform=cell.platform) if is_header else record)
        return made

    return opened


def missed(number: int, reason: str) -> Judged:
    one = SCENARIOS[number]
    values = {"ids": one.ids, "claim": one.claim, "clauses": one.clauses, "reason": reason}
    return Judged(trial(one.name, Verdict.MISS, **values), UNEXPECTED)


def test_records_are_written_and_the_watcher_notified(opened, listener: Listener, file: Path) -> None:
    opened(whole(*ALL))
    assert file.read_bytes() == b"".join(results.encode(record) + b"\n" for record in whole(*ALL))
    assert listener.heard == [("cell_plans", HOST, 3), *(("trial_ends", HOST, Judged(one, EXPECTED)) for one in ALL)]


def test_the_begin_of_a_trial_is_notified(opened, listener: Listener) -> None:
    opened().begin(ONE)
    assert listener.heard == [("trial_begins", HOST, ONE)]


def test_the_plan_is_that_of_the_request_until_the_header(opened) -> None:
    assert opened().planned == NAMES
    assert opened([header([OTHER])]).planned == (OTHER,)
    assert opened([header([])]).planned == ()


def test_a_complete_cell_has_its_verdicts(opened, listener: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cell_account, "time", SimpleNamespace(monotonic=iter([10.0, 12.5]).__next__))
    outcome = opened(whole(*ALL)).close(None)
    assert outcome == CellOutcome(HOST, tuple(Judged(one, EXPECTED) for one in ALL), 2.5, None)
    assert listener.heard[-1] == ("cell_ends", outcome)


def test_an_unreported_trial_is_a_miss_with_the_reason(opened) -> None:
    died = Problem("it died")
    outcome = opened([header(), ALL[1]]).close(died)
    assert outcome.judged == (Judged(ALL[1], EXPECTED), missed(0, "it died"), missed(2, "it died"))
    assert outcome.problem is died


def test_a_cell_without_a_header_misses_every_scenario_of_the_request(opened) -> None:
    judged = opened().close(None).judged
    assert judged == tuple(missed(number, "planned, but not reported") for number in range(3))


def test_a_miss_that_cannot_be_written_is_still_a_miss(opened, file: Path) -> None:
    """The disk is full, which is the problem already."""
    made = opened([header()], rules=[Expectation(("*",), frozenset({Verdict.BLOCKED}), "so")])
    (file.parent / "judgements.jsonl").mkdir()
    outcome = made.close(Problem("no room"))
    assert [one.trial.verdict for one in outcome.judged] == [Verdict.MISS] * 3


def test_a_miss_of_an_unknown_scenario_has_its_name(opened) -> None:
    (judged,) = opened([header(["new::one"])]).close(Problem("it died")).judged
    assert judged == Judged(Trial(scenario="new::one", verdict=Verdict.MISS, reason="it died"), UNEXPECTED)


def test_a_miss_of_a_parametrised_scenario_has_its_ids(opened) -> None:
    (judged,) = opened([header([f"{ONE}[a]"])]).close(None).judged
    assert (judged.trial.scenario, judged.trial.ids) == (f"{ONE}[a]", ("SG01",))


# ------------------------------------------------------------------------------------------------------------- excuses


def judgement(opened, name: str, verdict: Verdict, cell: CellName = HOST, **probes: str) -> Judgement:
    """The judgement of one trial with these states of probes."""
    return opened([header([name], None, **probes), trial(name, verdict)], cell).close(None).judged[0].judgement


def excused(verdict: Verdict, reason: str) -> Judgement:
    return Judgement(True, PASSES | {verdict}, reason)


@pytest.mark.parametrize("cell", [HOST, MINE])
@pytest.mark.parametrize("name", [DENIED, f"{DENIED}[a]"])
def test_an_unmet_need_of_the_machine_is_excused(opened, cell: CellName, name: str) -> None:
    found = judgement(opened, name, Verdict.UNSUPPORTED, cell, ptrace_denied="no")
    assert found == excused(Verdict.UNSUPPORTED, NO_MACHINE)


def test_the_excuse_of_one_verdict_does_not_cover_another(opened) -> None:
    assert judgement(opened, DENIED, Verdict.BLOCKED, ptrace_denied="no") == UNEXPECTED
    assert judgement(opened, DENIED, Verdict.BLOCKED, MINE, ptrace_denied="yes") == UNEXPECTED
    assert judgement(opened, DENIED, Verdict.FAIL, ptrace_denied="no") == UNEXPECTED


def test_a_need_not_known_to_be_unmet_is_no_excuse(opened) -> None:
    assert judgement(opened, ONE, Verdict.UNSUPPORTED) == UNEXPECTED
    assert judgement(opened, DENIED, Verdict.UNSUPPORTED) == UNEXPECTED
    assert judgement(opened, DENIED, Verdict.UNSUPPORTED, ptrace_denied="denied") == UNEXPECTED


def test_a_need_that_the_machine_meets_is_not_excused(opened) -> None:
    """The profile of a container on this kernel removed it, so a rule must say so."""
    records = [header([DENIED], None, ptrace_denied="no"), trial(DENIED, Verdict.UNSUPPORTED)]
    assert opened(records, DOCKER, HERE).close(None).judged[0].judgement == UNEXPECTED
    elsewhere = replace(HERE, kernel="another")
    assert opened(records, VM, elsewhere).close(None).judged[0].judgement == excused(Verdict.UNSUPPORTED, NO_MACHINE)


def test_a_lack_of_privilege_is_excused_on_the_host_alone(opened) -> None:
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


def test_another_platform_may_omit_an_optional_part(opened) -> None:
    optional = excused(Verdict.UNSUPPORTED, "this platform does not implement an optional part")
    assert judgement(opened, ONE, Verdict.UNSUPPORTED, MINE) == optional
    assert judgement(opened, "new::one", Verdict.UNSUPPORTED, MINE) == optional


@pytest.mark.parametrize(
    ("probes", "excuse"),
    [
        ({"ptrace_denied": "yes"}, "this platform does not implement an optional part"),
        ({"smp": "no"}, "this platform does not implement an optional part"),  # the state of its own need is unknown
        ({"ptrace_denied": "no"}, ""),
        ({"ptrace_denied": "denied"}, ""),
    ],
)
def test_an_optional_part_is_excused_only_if_all_needs_are_met(opened, probes: dict[str, str], excuse: str) -> None:
    records = [header([DENIED], None, **probes), trial(DENIED, Verdict.UNSUPPORTED)]
    (judged,) = opened(records, MINE, HERE).close(None).judged
    assert judged.judgement == (excused(Verdict.UNSUPPORTED, excuse) if excuse else UNEXPECTED)


def test_a_rule_covers_by_id_and_by_need(opened) -> None:
    blocked = frozenset({Verdict.BLOCKED})
    rules = [
        Expectation(("SG01",), blocked, "by id"),
        Expectation((), blocked, "by need", frozenset({"ptrace_denied"})),
    ]
    judged = opened([header(), trial(OTHER, Verdict.BLOCKED), trial(DENIED, Verdict.BLOCKED)], rules=rules).close(None)
    assert [one.judgement.reason for one in judged.judged[:2]] == ["by id", "by need"]
    assert all(one.judgement.expected for one in judged.judged[:2])


def test_only_rules_whose_conditions_hold_in_the_cell_decide(opened) -> None:
    """The cell's probes, environment and profile decide; without a header no rule holds."""
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
    basis = {"profile": {"user": "65534:65534"}}
    outcome = opened(records, DOCKER, rules=rules, **basis).close(None)
    assert outcome.rules == tuple(rules[2:])
    assert outcome.judged[0].judgement == Judgement(True, fails, "so")
    assert opened([], DOCKER, rules=rules, **basis).close(None).rules == ()
