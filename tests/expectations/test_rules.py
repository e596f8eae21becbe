"""Rules are read as they are written, hold where their conditions do, and say what is wrong with them by field."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from scripted import header

from worldswitch.harness.catalogue import scenarios
from worldswitch.harness.catalogue.scenarios import function_of, is_meant
from worldswitch.harness.cell.records import Fingerprint
from worldswitch.harness.cell_name import CellName
from worldswitch.harness.expectations import conditions, fields, rules
from worldswitch.harness.expectations.conditions import BadCondition
from worldswitch.harness.expectations.fields import Value
from worldswitch.harness.expectations.judgement import Expectation, deciding
from worldswitch.harness.expectations.rules import RuleError
from worldswitch.harness.verdict import Verdict

RULE = """
about = "What kernels cannot do."

[[expect]]
scenarios = ["SG0*", "stops::one"]
needs = ["sysemu"]
when = { probe.sysemu = "no", kernel = "<6.12", profile.user = "!0:0" }
verdicts = ["fail", "unsupported"]
reason = "so"
evidence = ["ptrace(2)"]
expires = 2027-06-30
"""


def test_a_file_is_read_as_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "kernels.toml"
    path.write_text(RULE)
    (rule,) = rules.load(path).expectations
    assert (rule.scenarios, rule.needs) == (("SG0*", "stops::one"), frozenset({"sysemu"}))
    assert (rule.verdicts, rule.reason) == (frozenset({Verdict.FAIL, Verdict.UNSUPPORTED}), "so")
    assert (rule.evidence, rule.expires) == (("ptrace(2)",), date(2027, 6, 30))
    assert rule.source == "kernels.toml rule 1"
    assert [str(one) for one in rule.when] == ["probe.sysemu = no", "kernel = <6.12", "profile.user = !0:0"]


def test_every_file_that_comes_with_the_package_can_be_read_and_speaks_of_scenarios_there_are() -> None:
    known = scenarios.scenarios()
    for file in rules.packaged():
        for rule in file.expectations:
            for pattern in rule.scenarios:
                assert any(
                    is_meant(name, one.name, one.ids) for one in known for name in (pattern, function_of(pattern))
                ), f"{rule.source}: {pattern}"


# -------------------------------------------------------------------------------------------------------- what is known

MACHINE = Fingerprint(
    kernel="Linux 6.12.9+deb13-amd64 #1 SMP",
    machine="x86_64",
    cpu="any",
    cpus=2,
    python="3",
    versions={},
    probes=header(sysemu="no", smp="yes").fingerprint.probes,
    facts={"KD3": "it goes on"},
)
PROFILE = {
    "user": "65534:65534",
    "capabilities": ["SYS_PTRACE", "KILL"],
    "init": False,
    "limits": {"pids": 32, "memory": "1g"},
}


@pytest.fixture
def known() -> dict[str, Value]:
    cell = CellName("docker:hardened", "seed")
    said = header()
    machine = said.__class__(
        **{name: getattr(said, name) for name in said.__struct_fields__} | {"fingerprint": MACHINE}
    )
    machine.environment.update(engine="Docker 20.10.24+dfsg1", accelerator="tcg")
    return fields.of(cell, machine, PROFILE)


HOLDS = [
    {"kernel": "6.12", "probe": {"sysemu": "no"}},
    {"kernel": "<6.13 >=6.1", "probe": {"sysemu": "no"}},
    {"kernel": "<=6.12", "probe": {"sysemu": "no"}},
    {"release": "6.12.9*", "fact": {"KD3": "it goes on"}},
    {"probe": {"sysemu": ["denied", "no"]}},
    {"probe": {"sysemu": "!yes"}},
    {"fact": {"KD3": "it*"}},
    {"architecture": "x86_64", "environment": "docker:*", "platform": "!reference", "repeat": "quick"},
    {"engine": {"kind": "docker", "version": ">20.9 <23"}, "probe": {"smp": "yes"}},
    {"engine": {"version": "20.10"}, "probe": {"smp": "yes"}},
    {"machine": "tcg"},
    {"profile": {"user": "!0:0", "init": False}},
    {"profile": {"capabilities": "SYS_PTRACE"}},
    {"profile": {"capabilities": ["NET_ADMIN", "KI*"]}},
    {"profile": {"capabilities": "!SYS_ADMIN"}},
    {"profile": {"limits": {"pids": "<64", "memory": "1g"}}},
    {"profile": {"limits": {"pids": 32}}},
    {"environment": ["!host"]},
]

HOLDS_NOT = [
    {"kernel": "6.1", "probe": {"sysemu": "no"}},
    {"kernel": ">6.12", "probe": {"sysemu": "no"}},
    {"kernel": "<6.12", "probe": {"sysemu": "no"}},
    {"kernel": "6.12", "probe": {"sysemu": "yes"}},
    {"probe": {"cpuset": "!yes"}},  # nobody looked
    {"fact": {"KD3": "!it*"}},
    {"fact": {"KD4": "!it stays"}},
    {"environment": ["host", "docker:x"]},
    {"environment": ["!docker:*"]},
    {"platform": "!seed"},
    {"machine": "kvm"},
    {"profile": {"user": "0:0"}},
    {"profile": {"init": True}},
    {"profile": {"capabilities": "!KILL"}},
    {"profile": {"capabilities": "SYS_ADMIN"}},
    {"profile": {"seccomp": "!default"}},  # the profile does not say
    {"profile": {"limits": {"pids": ">=64"}}},
    {"profile": {"limits": {"pids": 3}}},
]


@pytest.mark.parametrize("when", HOLDS, ids=str)
def test_a_condition_holds(known: dict[str, Value], when: dict[str, object]) -> None:
    assert all(one.holds(known) for one in conditions.parse(when))


@pytest.mark.parametrize("when", HOLDS_NOT, ids=str)
def test_a_condition_does_not_hold(known: dict[str, Value], when: dict[str, object]) -> None:
    assert not all(one.holds(known) for one in conditions.parse(when))


@pytest.mark.parametrize(("wanted", "holds"), [("default", True), ("!SYS_PTRACE", True), ("SYS_PTRACE", False)])
def test_the_engines_own_capabilities_are_a_set_of_one(wanted: str, holds: bool) -> None:
    known = fields.of(CellName("docker:a"), header(), {"capabilities": "default"})
    (condition,) = conditions.parse({"profile": {"capabilities": wanted}})
    assert condition.holds(known) is holds


def test_a_condition_is_told_as_it_was_written() -> None:
    told = conditions.parse({"probe": {"sysemu": ["no", "denied"]}, "profile": {"init": True}})
    assert list(map(str, told)) == ["probe.sysemu = no or denied", "profile.init = true"]


def test_of_a_cell_without_profile_or_engine_less_is_known() -> None:
    known = fields.of(CellName("host"), header(), {})
    assert known == {"architecture": "x86_64", "environment": "host", "platform": "reference", "repeat": "quick"}


def test_the_first_rule_that_covers_decides() -> None:
    first, second = (Expectation((name,), frozenset({Verdict.FAIL}), name) for name in ("SG01", "*"))
    assert deciding([first, second], "a::b", ("SG01",)) is first
    assert deciding([first, second], "a::b", ("SG02",)) is second
    assert deciding([first], "a::b", ("SG02",)) is None


# ------------------------------------------------------------------------------------------------------------ bad files

GOOD = {
    "scenarios": '["SG01"]',
    "verdicts": '["fail"]',
    "reason": '"so"',
    "evidence": '["ptrace(2)"]',
}


def rule(**changes: str | None) -> str:
    lines = [f"{name} = {value}" for name, value in (GOOD | changes).items() if value is not None]
    return "\n".join(['about = "x"', "[[expect]]", *lines])


def when(text: str, **more: str) -> str:
    return rule(when=f"{{ {text} }}", **more)


#: The text of a file, and what is said of it: the rule's number, the field, and what is wrong.
BAD = {
    "no TOML": ("about = ", "not TOML: "),
    "no text": (b"\xff\xfe", "not TOML: "),
    "no about": ("", "about: is missing"),
    "an empty about": ("about = ' '", "about: ' ', where there is to be a text"),
    "about is a number": ("about = 1", "about: 1, where there is to be a text"),
    "another field": (
        "about = 'x'\nrules = []",
        "rules: no field of a file of rules; there are about, platform, expect",
    ),
    "another platform": (
        "about = 'x'\nplatform = 'seed'",
        "platform: says 'seed', but a file bears its platform's name",
    ),
    "an empty platform": ("about = 'x'\nplatform = ''", "platform: '', where there is to be a text"),
    "expect is a table": ("about = 'x'\n[expect]\nreason = 'x'", "expect: rules are tables of a list: [[expect]]"),
    "a rule is a text": ("about = 'x'\nexpect = ['x']", "rule 1: expected `object`, got `str`"),
    "the second rule": (f"{rule()}\n[[expect]]\n", "rule 2: verdicts: object missing required field `verdicts`"),
    "no verdicts": (rule(verdicts=None), "rule 1: verdicts: object missing required field `verdicts`"),
    "verdicts are empty": (rule(verdicts="[]"), "rule 1: verdicts: expected `array` of length >= 1"),
    "a verdict nobody knows": (rule(verdicts='["fails"]'), "rule 1: verdicts[0]: invalid enum value 'fails'"),
    "a text for verdicts": (rule(verdicts='"fail"'), "rule 1: verdicts: expected `array`, got `str`"),
    "miss": (rule(verdicts='["miss"]'), "rule 1: verdicts: 'miss' says that nothing was learnt, and is never expected"),
    "error": (rule(verdicts='["fail", "error"]'), "rule 1: verdicts: 'error' says that nothing was learnt"),
    "no reason": (rule(reason=None), "rule 1: reason: object missing required field `reason`"),
    "an empty reason": (rule(reason='""'), "rule 1: reason: expected `str` of length >= 1"),
    "about nothing": (rule(scenarios=None), "rule 1: a line says by `scenarios` or `needs` what it is about"),
    "scenarios are empty": (rule(scenarios="[]"), "rule 1: scenarios: expected `array` of length >= 1"),
    "a scenario is empty": (rule(scenarios='[""]'), "rule 1: scenarios[0]: expected `str` of length >= 1"),
    "a need is a number": (rule(needs="[1]"), "rule 1: needs[0]: expected `str`, got `int`"),
    "an unknown field": (rule(resaon='"x"'), "rule 1: resaon: object contains unknown field `resaon`"),
    "no evidence": (rule(evidence=None), "rule 1: evidence: is missing"),
    "evidence is a text": (rule(evidence='"x"'), "rule 1: evidence: expected `array`, got `str`"),
    "an address": (rule(evidence='["https://x.org/1"]'), "rule 1: evidence: 'https://x.org/1' is an address"),
    "expires is a text": (rule(expires='"soon"'), "rule 1: expires: invalid RFC3339 encoded date"),
    "expires is a number": (rule(expires="2027"), "rule 1: expires: expected `date | null`, got `int`"),
    "when is a text": (rule(when='"probe.sysemu"'), "rule 1: when: expected `object`, got `str`"),
    "an unknown condition": (
        when("kernal = '6.1'"),
        "rule 1: when.kernal: nothing is known by this name; there are kernel,",
    ),
    "an unknown probe": (
        when("probe.sysemo = 'no'"),
        "rule 1: when.probe.sysemo: nothing is known by this name; there are",
    ),
    "an unknown state": (
        when("probe.sysemu = 'maybe'"),
        "rule 1: when.probe.sysemu: 'maybe' is nothing that a probe finds; that is yes, no, denied",
    ),
    "a probe that is true": (
        when("probe.sysemu = true"),
        "rule 1: when.probe.sysemu: 'true', where there is to be a text",
    ),
    "a probe that is false": (when("probe.sysemu = false"), "rule 1: when.probe.sysemu: 'false', where there is to be"),
    "a probe that is a number": (when("probe.sysemu = 1"), "rule 1: when.probe.sysemu: 1, where there is to be a text"),
    "an unknown field of profiles": (
        when("profile.uesr = '0:0'"),
        "rule 1: when.profile.uesr: nothing is known by this",
    ),
    "what a profile expects": (
        when("profile.expect = 'x'"),
        "rule 1: when.profile.expect: nothing is known by this name",
    ),
    "a group": (when("probe = 'no'"), "rule 1: when.probe: nothing is known by this name; there are probe."),
    "a version alone": (when("kernel = '<6.12'"), "rule 1: when.kernel: names a version alone"),
    "a release alone": (when("release = '6.*'"), "rule 1: when.release: names a version alone"),
    "an engine's version alone": (
        when("engine.version = '<23'", why_not_probe='""'),
        "rule 1: when.engine.version: names a version alone",
    ),
    "a reason for nothing": (
        when("probe.sysemu = 'no'", why_not_probe='"x"'),
        "rule 1: why_not_probe: says why a version is named without a probe, and that is not so here",
    ),
    "no version": (
        when("kernel = 'new', probe.smp = 'yes'"),
        "rule 1: when.kernel: 'new', where there is to be versions",
    ),
    "half a kernel": (
        when("kernel = '6', probe.smp = 'yes'"),
        "rule 1: when.kernel: '6': a kernel's minor version has two numbers",
    ),
    "a whole release": (
        when("kernel = '6.12.9', probe.smp = 'yes'"),
        "rule 1: when.kernel: '6.12.9': a kernel's minor",
    ),
    "a kernel that is a number": (
        when("kernel = 6.12, probe.smp = 'yes'"),
        "rule 1: when.kernel: 6.12, where there is",
    ),
    "a list of kernels": (
        when("kernel = ['6.1'], probe.smp = 'yes'"),
        "rule 1: when.kernel: a list, where there is to be",
    ),
    "an empty list": (when("environment = []"), "rule 1: when.environment: an empty list, which nothing can fulfil"),
    "a list with `!`": (when("environment = ['host', '!x']"), "rule 1: when.environment: a list is any of its members"),
    "an empty text": (when("environment = ''"), "rule 1: when.environment: '', where there is to be a text"),
    "only `!`": (when("environment = '!'"), "rule 1: when.environment: '!', where there is to be a text"),
    "a switch that is a text": (
        when("profile.init = 'no'"),
        "rule 1: when.profile.init: 'no', where there is to be true or",
    ),
    "a number that is a text": (when("profile.limits.pids = 'few'"), "rule 1: when.profile.limits.pids: 'few', where"),
    "a number with a point": (when("profile.limits.pids = '<1.5'"), "rule 1: when.profile.limits.pids: '<1.5', where"),
    "a date": (
        when("environment = 2027-01-01"),
        "rule 1: when.environment: datetime.date(2027, 1, 1), where there is to be",
    ),
}


@pytest.mark.parametrize(("text", "said"), BAD.values(), ids=BAD)
def test_a_bad_file_is_said_with_the_rule_and_the_field(
    tmp_path: Path, text: str | bytes, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rules, "folder", lambda: tmp_path)
    path = tmp_path / "mine.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    before = path.read_bytes()
    with pytest.raises(RuleError) as caught:
        rules.load(path)
    assert str(caught.value).startswith(f"{path}: {said}")
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == before


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(RuleError, match=r"mine\.toml: cannot be read: No such file"):
        rules.load(tmp_path / "mine.toml")


def test_a_version_alone_takes_a_reason() -> None:
    assert conditions.parse({"kernel": "<6.12"}, "the log alone shows it")
    with pytest.raises(BadCondition, match="why_not_probe"):
        conditions.parse({}, "x")
