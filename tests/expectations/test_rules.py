"""Rules are read as written and hold where their conditions do; errors name the rule and the field."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import msgspec
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


def test_a_file_is_read_as_written(tmp_path: Path) -> None:
    path = tmp_path / "kernels.toml"
    path.write_text(RULE)
    (rule,) = rules.load(path).expectations
    assert (rule.scenarios, rule.needs) == (("SG0*", "stops::one"), frozenset({"sysemu"}))
    assert (rule.verdicts, rule.reason) == (frozenset({Verdict.FAIL, Verdict.UNSUPPORTED}), "so")
    assert (rule.evidence, rule.expires) == (("ptrace(2)",), date(2027, 6, 30))
    assert rule.source == "kernels.toml rule 1"
    assert [str(one) for one in rule.when] == ["probe.sysemu = no", "kernel = <6.12", "profile.user = !0:0"]


def test_every_file_of_the_package_can_be_read_and_names_existing_scenarios() -> None:
    known = scenarios.scenarios()
    for file in rules.packaged():
        for rule in file.expectations:
            for pattern in rule.scenarios:
                assert any(
                    is_meant(name, one.name, one.ids) for one in known for name in (pattern, function_of(pattern))
                ), f"{rule.source}: {pattern}"


# -------------------------------------------------------------------------------------------------------- known fields

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
    seen = msgspec.structs.replace(header(), fingerprint=MACHINE)
    seen.environment.update(engine="Docker 20.10.24+dfsg1", accelerator="tcg")
    return fields.of(cell, seen, PROFILE)


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
    {"probe": {"cpuset": "!yes"}},  # no such probe was run
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
def test_the_engines_default_capabilities_are_a_set_of_one(wanted: str, holds: bool) -> None:
    known = fields.of(CellName("docker:a"), header(), {"capabilities": "default"})
    (condition,) = conditions.parse({"profile": {"capabilities": wanted}})
    assert condition.holds(known) is holds


def test_a_condition_is_printed_as_written() -> None:
    parsed = conditions.parse({"probe": {"sysemu": ["no", "denied"]}, "profile": {"init": True}})
    assert list(map(str, parsed)) == ["probe.sysemu = no or denied", "profile.init = true"]


def test_without_profile_or_engine_their_fields_are_absent() -> None:
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


#: The text of a file and the error: the number of the rule, the field, the problem.
BAD = {
    "no TOML": ("about = ", "not TOML: "),
    "no text": (b"\xff\xfe", "not TOML: "),
    "no about": ("", "about: missing"),
    "an empty about": ("about = ' '", "about: ' '; expected a non-empty string"),
    "about is a number": ("about = 1", "about: 1; expected a non-empty string"),
    "another field": (
        "about = 'x'\nrules = []",
        "rules: unknown field; there are about, platform, expect",
    ),
    "another platform": (
        "about = 'x'\nplatform = 'seed'",
        "platform: 'seed' in a file of another name; rename one of the two",
    ),
    "an empty platform": ("about = 'x'\nplatform = ''", "platform: ''; expected a non-empty string"),
    "expect is a table": (
        "about = 'x'\n[expect]\nreason = 'x'",
        "expect: rules must be an array of tables: [[expect]]",
    ),
    "a rule is a text": ("about = 'x'\nexpect = ['x']", "rule 1: expected `object`, got `str`"),
    "the second rule": (f"{rule()}\n[[expect]]\n", "rule 2: verdicts: object missing required field `verdicts`"),
    "no verdicts": (rule(verdicts=None), "rule 1: verdicts: object missing required field `verdicts`"),
    "verdicts are empty": (rule(verdicts="[]"), "rule 1: verdicts: expected `array` of length >= 1"),
    "an unknown verdict": (rule(verdicts='["fails"]'), "rule 1: verdicts[0]: invalid enum value 'fails'"),
    "a text for verdicts": (rule(verdicts='"fail"'), "rule 1: verdicts: expected `array`, got `str`"),
    "miss": (rule(verdicts='["miss"]'), "rule 1: verdicts: 'miss' is no result about the platform and may not be"),
    "error": (rule(verdicts='["fail", "error"]'), "rule 1: verdicts: 'error' is no result about the platform"),
    "no reason": (rule(reason=None), "rule 1: reason: object missing required field `reason`"),
    "an empty reason": (rule(reason='""'), "rule 1: reason: expected `str` of length >= 1"),
    "neither scenarios nor needs": (rule(scenarios=None), "rule 1: a rule must name `scenarios` or `needs`"),
    "scenarios are empty": (rule(scenarios="[]"), "rule 1: scenarios: expected `array` of length >= 1"),
    "a scenario is empty": (rule(scenarios='[""]'), "rule 1: scenarios[0]: expected `str` of length >= 1"),
    "a need is a number": (rule(needs="[1]"), "rule 1: needs[0]: expected `str`, got `int`"),
    "an unknown field": (rule(resaon='"x"'), "rule 1: resaon: object contains unknown field `resaon`"),
    "no evidence": (rule(evidence=None), "rule 1: evidence: missing"),
    "evidence is a text": (rule(evidence='"x"'), "rule 1: evidence: expected `array`, got `str`"),
    "a URL": (rule(evidence='["https://x.org/1"]'), "rule 1: evidence: 'https://x.org/1' is a URL"),
    "expires is a text": (rule(expires='"soon"'), "rule 1: expires: invalid RFC3339 encoded date"),
    "expires is a number": (rule(expires="2027"), "rule 1: expires: expected `date | null`, got `int`"),
    "when is a text": (rule(when='"probe.sysemu"'), "rule 1: when: expected `object`, got `str`"),
    "an unknown condition": (
        when("kernal = '6.1'"),
        "rule 1: when.kernal: no such field (did you mean kernel?); there are kernel,",
    ),
    "an unknown probe": (
        when("probe.sysemo = 'no'"),
        "rule 1: when.probe.sysemo: no such field (did you mean probe.sysemu?); there are",
    ),
    "an unknown state": (
        when("probe.sysemu = 'maybe'"),
        "rule 1: when.probe.sysemu: 'maybe' is not the state of a probe; expected one of yes, no, denied",
    ),
    "a probe that is true": (
        when("probe.sysemu = true"),
        "rule 1: when.probe.sysemu: 'true'; expected a string",
    ),
    "a probe that is false": (when("probe.sysemu = false"), "rule 1: when.probe.sysemu: 'false'; expected"),
    "a probe that is a number": (when("probe.sysemu = 1"), "rule 1: when.probe.sysemu: 1; expected a string"),
    "an unknown field of profiles": (
        when("profile.uesr = '0:0'"),
        "rule 1: when.profile.uesr: no such field",
    ),
    "what a profile expects": (
        when("profile.expect = 'x'"),
        "rule 1: when.profile.expect: no such field",
    ),
    "a group": (when("probe = 'no'"), "rule 1: when.probe: no such field; there are probe."),
    "a version alone": (when("kernel = '<6.12'"), "rule 1: when.kernel: names a version alone"),
    "a release alone": (when("release = '6.*'"), "rule 1: when.release: names a version alone"),
    "an engine's version alone": (
        when("engine.version = '<23'", why_not_probe='""'),
        "rule 1: when.engine.version: names a version alone",
    ),
    "a reason for nothing": (
        when("probe.sysemu = 'no'", why_not_probe='"x"'),
        "rule 1: why_not_probe: belongs only to a rule that names a version and neither",
    ),
    "no version": (
        when("kernel = 'new', probe.smp = 'yes'"),
        "rule 1: when.kernel: 'new'; expected a version",
    ),
    "half a kernel": (
        when("kernel = '6', probe.smp = 'yes'"),
        "rule 1: when.kernel: '6'; expected a minor version of two numbers",
    ),
    "a whole release": (
        when("kernel = '6.12.9', probe.smp = 'yes'"),
        "rule 1: when.kernel: '6.12.9'; expected a minor",
    ),
    "a kernel that is a number": (
        when("kernel = 6.12, probe.smp = 'yes'"),
        "rule 1: when.kernel: 6.12; expected",
    ),
    "a list of kernels": (
        when("kernel = ['6.1'], probe.smp = 'yes'"),
        "rule 1: when.kernel: a list; expected",
    ),
    "an empty list": (when("environment = []"), "rule 1: when.environment: an empty list never matches"),
    "a list with `!`": (when("environment = ['host', '!x']"), "rule 1: when.environment: a list matches if any"),
    "an empty text": (when("environment = ''"), "rule 1: when.environment: ''; expected a string"),
    "only `!`": (when("environment = '!'"), "rule 1: when.environment: '!'; expected a string"),
    "a switch that is a text": (
        when("profile.init = 'no'"),
        "rule 1: when.profile.init: 'no'; expected true or",
    ),
    "a number that is a text": (
        when("profile.limits.pids = 'few'"),
        "rule 1: when.profile.limits.pids: 'few'; expected",
    ),
    "a number with a point": (
        when("profile.limits.pids = '<1.5'"),
        "rule 1: when.profile.limits.pids: '<1.5'; expected",
    ),
    "a date": (
        when("environment = 2027-01-01"),
        "rule 1: when.environment: datetime.date(2027, 1, 1); expected",
    ),
}


@pytest.mark.parametrize(("text", "message"), BAD.values(), ids=BAD)
def test_an_invalid_file_is_reported_with_the_rule_and_the_field(
    tmp_path: Path, text: str | bytes, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rules, "folder", lambda: tmp_path)
    path = tmp_path / "mine.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    before = path.read_bytes()
    with pytest.raises(RuleError) as caught:
        rules.load(path)
    assert str(caught.value).startswith(f"{path}: {message}")
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == before


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RuleError, match=r"mine\.toml: cannot be read: No such file"):
        rules.load(tmp_path / "mine.toml")


def test_a_version_alone_needs_a_reason() -> None:
    assert conditions.parse({"kernel": "<6.12"}, "the log alone shows it")
    with pytest.raises(BadCondition, match="why_not_probe"):
        conditions.parse({}, "x")
