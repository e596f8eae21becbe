"""Facts about the kernel: an unknown observation fails, observations are repeatable, the header has them all."""

from __future__ import annotations

import itertools
import os
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest
from cells import run_cell
from kernel_claims import made_up

from worldswitch.harness.catalogue import scenarios
from worldswitch.harness.cell import frames
from worldswitch.harness.cell.attribution import Owners, Phase, judge
from worldswitch.harness.cell.probes import kernel_facts
from worldswitch.harness.cell.supervisor import supervise
from worldswitch.harness.verdict import Verdict

MADE_UP = ("--scenarios", "kernel_claims", "--platform", "fakes:Passes")
ONCE = SimpleNamespace(repeat=1)


def test_a_known_observation_holds() -> None:
    made_up.water_flows(ONCE)


def test_an_unknown_observation_fails_and_lists_the_known_ones() -> None:
    with pytest.raises(AssertionError, match=r"(?s)this kernel gives 'flat'; known are:\n  'round': 5.10"):
        made_up.the_earth_is(ONCE)


def test_an_error_is_an_observation() -> None:
    with pytest.raises(AssertionError, match="this kernel gives 'broke off: not permitted'"):
        made_up.something_is_refused(ONCE)


def test_observations_must_not_differ() -> None:
    with pytest.raises(AssertionError, match=r"the observations differ between repetitions: \['0', '1', '2'\]"):
        made_up.nothing_stays(SimpleNamespace(repeat=3))


def test_a_trial_fails_by_its_own_assertion() -> None:
    with pytest.raises(AssertionError) as raised:
        made_up.the_earth_is(ONCE)
    result = judge([Phase("call", raised.value, "")], Owners(scenarios.SCENARIOS))
    assert (result.verdict, result.assertion) == (Verdict.FAIL, True)
    assert "this kernel gives 'flat'" in result.reason


EXPECTED = {
    "made_up::water_flows": "down",
    "made_up::the_earth_is": "flat",
    "made_up::experimenters_die": "not observed: its process was killed by signal 9",
    "made_up::something_is_lacking": "not observed: needs no-such-probe",
    "made_up::something_is_refused": "broke off: not permitted",
    "made_up::nothing_stays": "0",
}


def test_a_dying_experiment_does_not_prevent_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(made_up, "_COUNT", itertools.count())
    found = kernel_facts.observe("kernel_claims")
    assert {name: text[: len(EXPECTED[name])] for name, text in found.items()} == EXPECTED


def test_experiments_after_the_deadline_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = SimpleNamespace(scenario=SimpleNamespace(name="slow", needs=()), observe=lambda: time.sleep(60))
    never = SimpleNamespace(scenario=SimpleNamespace(name="never", needs=()), observe=lambda: "seen")
    monkeypatch.setattr(scenarios, "facts", lambda package: [slow, never])
    monkeypatch.setattr(kernel_facts, "unmet", lambda needs: None)
    assert kernel_facts.observe("any", seconds=0.5) == {
        "slow": "not observed: no answer in time",
        "never": "not observed: no time was left",
    }


def test_a_digest_depends_on_the_facts_alone() -> None:
    one = {"a": "1", "b": "2"}
    assert kernel_facts.digest(one) == kernel_facts.digest(dict(reversed(one.items())))
    assert kernel_facts.digest(one) != kernel_facts.digest({"a": "1", "b": "3"})
    assert kernel_facts.digest({}) == ""


def test_the_header_has_the_facts() -> None:
    machine = run_cell(*MADE_UP, "-k", "water_flows").run.header.fingerprint
    assert machine.facts["made_up::water_flows"] == "down"
    assert machine.behaviour == kernel_facts.digest(machine.facts)


def test_given_facts_are_not_observed_again() -> None:
    known = kernel_facts.Observed({"made_up::water_flows": "up"}, "another cell")
    finished = run_cell(*MADE_UP, "-k", "water_flows", "--observed", msgspec.json.encode(known).decode())
    machine = finished.run.header.fingerprint
    assert (machine.facts, machine.facts_from) == (known.facts, "another cell")
    assert machine.behaviour == kernel_facts.digest(known.facts)
    assert finished.trial.verdict is Verdict.PASS  # the trial still runs


@pytest.mark.parametrize("names", ["made_up::water_flows", ""])
def test_only_the_named_facts_are_observed(names: str) -> None:
    machine = run_cell(*MADE_UP, "-k", "water_flows", "--facts", names).run.header.fingerprint
    assert list(machine.facts) == ([names] if names else [])
    assert (machine.facts_left_out, machine.behaviour) == (True, "")


def test_invalid_facts_are_refused() -> None:
    finished = run_cell(*MADE_UP, "--observed", '{"facts": 3}')
    assert finished.status == 2
    assert "could not run: --observed: Expected `object`, got `int`" in finished.log


def test_the_command_prints_one_frame(
    monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    monkeypatch.setattr(scenarios, "SCENARIOS", "kernel_claims")
    monkeypatch.setattr(sys, "argv", ["behaviour", "--where", "here"])
    out = os.dup(1)
    try:
        assert kernel_facts.main() == 0
    finally:
        os.dup2(out, 1)
        os.close(out)
    (payload,) = filter(None, map(frames.decode, capfdbinary.readouterr().out.splitlines()))
    found = msgspec.json.decode(payload, type=kernel_facts.Observed)
    assert found.where == "here"
    assert found.facts["made_up::water_flows"] == "down"
    assert found.facts.keys() == EXPECTED.keys()


@pytest.mark.parametrize("family", sorted({fact.scenario.family for fact in scenarios.facts()}))
def test_every_experiment_is_repeatable(family: str) -> None:
    facts = [fact for fact in scenarios.facts() if fact.scenario.family == family]

    def body() -> bytes:
        return msgspec.json.encode({fact.scenario.name: list({fact.observe() for _ in range(5)}) for fact in facts})

    ending = supervise(body, 120)
    assert ending.payload is not None, ending.output
    seen = msgspec.json.decode(ending.payload, type=dict[str, list[str]])
    assert {name: texts for name, texts in seen.items() if len(texts) != 1} == {}
    assert ending.strays == ()


@pytest.mark.parametrize("asked", [(), ("b",), ("a", "c")])
def test_only_the_facts_asked_for_are_observed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, asked: tuple[str, ...]
) -> None:
    def fact(name: str) -> SimpleNamespace:
        def observe() -> str:
            with (tmp_path / "observed").open("a") as file:
                file.write(name)
            return "seen"

        return SimpleNamespace(scenario=SimpleNamespace(name=name, needs=()), observe=observe)

    monkeypatch.setattr(scenarios, "facts", lambda package: [fact(name) for name in "abc"])
    monkeypatch.setattr(kernel_facts, "unmet", lambda needs: None)
    (tmp_path / "observed").touch()
    assert kernel_facts.observe("any", only=asked) == dict.fromkeys(asked, "seen")
    assert (tmp_path / "observed").read_text() == "".join(asked)


def test_a_cell_observes_the_facts_of_its_arguments() -> None:
    for asked in ("", "made_up::water_flows"):
        cell = run_cell(*MADE_UP, "-k", "water_flows", f"--facts={asked}")
        assert set(cell.run.header.fingerprint.facts) == {asked} - {""}
