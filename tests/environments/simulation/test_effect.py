"""Predictions follow from the answers to recorded calls and the recorded effects of denials."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from worldswitch.harness.environments.simulation import record
from worldswitch.harness.environments.simulation.effect import FilterEffect, call_text, places
from worldswitch.harness.environments.simulation.filter_simulator import FilterSimulator
from worldswitch.harness.environments.simulation.record import Part, Record
from worldswitch.harness.verdict import Verdict

DENIED = {"EPERM": "denied", "ENOSYS": "no", "kill": "denied"}
RECORD = Record(
    machine="x86_64",
    made_on={},
    numbers={},
    starts={"runc": Part(("read", "getrandom"), "starts", {"read": dict.fromkeys(record.ANSWERS, "fails")})},
    platform=Part(("read", "memfd_create:0x1"), "pass", {"memfd_create:0x1": dict.fromkeys(record.ANSWERS, "error")}),
    probes={
        "idle": Part(("read", "getrandom"), "yes", {"read": dict.fromkeys(record.ANSWERS, "fails")}),
        "ptrace": Part(("read", "ptrace:0x4206"), "yes", {"ptrace:0x4206": DENIED}),
        "ptrace_denied": Part(("ptrace:0x4206",), "no", {"ptrace:0x4206": {"EPERM": "yes", "kill": "yes"}}),
        "stub_calls": Part(("munmap:0x200000",), "yes", {"munmap:0x200000": DENIED}),
    },
    scenarios={
        "a::b": Part(("clone3", "getrandom", "personality:0x40000", "tgkill"), "", {"clone3": {"ENOSYS": ""}}),
    },
    ranges={"tgkill": ((2, 90),) * 6},
)


def effect_of(*rules: dict[str, Any], default: str = "ALLOW", runtime: str = "runc") -> FilterEffect:
    content = {"defaultAction": f"SCMP_ACT_{default}", "syscalls": list(rules)}
    return FilterEffect(FilterSimulator(content), RECORD, runtime)


def rule(name: str, number: int = 1, **fields: Any) -> dict[str, Any]:
    return {"names": [name], "action": "SCMP_ACT_ERRNO", "errnoRet": number, **fields}


def test_a_filter_that_denies_nothing_changes_nothing() -> None:
    found = effect_of().of("a::b", ())
    assert (found.verdict, found.reason) == (Verdict.PASS, "")


def test_a_call_that_a_start_needs_is_named() -> None:
    found = effect_of(rule("read"))
    assert found.start.verdict is Verdict.MISS
    assert found.of("a::b", ()).reason == ("no container starts: read is denied by syscalls[0] (SCMP_ACT_ERRNO EPERM)")
    assert [one.key for one in found.fatal] == ["read"]


def test_a_denial_that_a_start_tolerates_is_none() -> None:
    assert effect_of(rule("getrandom")).of("a::b", ()).verdict is Verdict.PASS


def test_a_filter_that_denies_everything_starts_nothing() -> None:
    assert effect_of(default="KILL_PROCESS").start.verdict is Verdict.MISS


def test_what_the_platform_needs_is_an_error() -> None:
    found = effect_of(rule("memfd_create")).of("a::b", ())
    assert found.verdict is Verdict.ERROR
    assert found.reason.startswith("the platform cannot be loaded: memfd_create(argument 1 = 0x1) is denied")


@pytest.mark.parametrize(("number", "verdict"), [(1, Verdict.BLOCKED), (38, Verdict.UNSUPPORTED)])
def test_a_probe_decides(number: int, verdict: Verdict) -> None:
    found = effect_of(rule("ptrace", number)).of("a::b", ())
    assert found.verdict is verdict
    assert found.reason.startswith("needs ptrace: ptrace(PTRACE_SEIZE) is denied by syscalls[0]")


def test_a_denial_of_other_requests_changes_nothing() -> None:
    attach = [{"index": 0, "op": "SCMP_CMP_EQ", "value": 16}]
    assert effect_of(rule("ptrace", args=attach)).of("a::b", ()).verdict is Verdict.PASS


def test_a_probe_of_a_denial_needs_one() -> None:
    assert effect_of().of("a::b", ("ptrace_denied",)).verdict is Verdict.UNSUPPORTED
    denying = effect_of(rule("ptrace"), rule("clone3"))
    assert denying.of("a::b", ("ptrace_denied",)).verdict is Verdict.PASS  # though clone3 is not measured


def test_a_false_success_has_no_prediction() -> None:
    assert effect_of(rule("ptrace", 0)).of("a::b", ()).verdict is None


def test_an_effect_that_was_not_recorded_is_not_predicted() -> None:
    assert effect_of(rule("clone3", 38)).of("a::b", ()).verdict is Verdict.PASS
    found = effect_of(rule("clone3", 1)).of("a::b", ())
    assert found.verdict is None
    assert found.unknown is not None
    assert found.unknown.key == "clone3"


def test_a_condition_outside_the_observed_values_does_not_match() -> None:
    assert effect_of(rule("tgkill", args=[{"index": 1, "op": "SCMP_CMP_GT", "value": 90}])).of("a::b", ()).verdict is (
        Verdict.PASS
    )
    assert effect_of(rule("tgkill", args=[{"index": 1, "op": "SCMP_CMP_EQ", "value": 50}])).of("a::b", ()).verdict is (
        None
    )


def test_one_value_of_an_address_or_an_unused_register_does_not_match() -> None:
    magic = {"index": 5, "op": "SCMP_CMP_EQ", "value": 0x5EC0_0000_0000_0001}
    assert effect_of(rule("getrandom", args=[magic])).of("a::b", ()).verdict is Verdict.PASS
    assert effect_of(rule("read", args=[magic])).start.verdict is Verdict.PASS
    assert effect_of(rule("read", args=[{**magic, "value": 1}])).start.verdict is None


def test_an_unknown_runtime_has_no_prediction() -> None:
    assert effect_of(runtime="kata").of("a::b", ()).verdict is None


def test_a_scenario_that_was_not_recorded_has_no_prediction() -> None:
    assert effect_of().of("a::new", ()).verdict is None


def test_the_worst_of_several_needs_counts() -> None:
    probes = RECORD.probes | {"sysemu": Part(("ptrace:0x1f",), "yes", {"ptrace:0x1f": DENIED})}
    content = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule("munmap", 38), rule("ptrace", 1)]}
    found = FilterEffect(FilterSimulator(content), replace(RECORD, probes=probes), "runc")
    assert found.of("a::b", ("sysemu",)).verdict is Verdict.BLOCKED


def test_rules_have_the_places_of_the_users_file() -> None:
    written = [{"names": ["a"], "action": "X"}, {"name": "b", "action": "X"}, {"names": ["c"], "action": "X"}]
    assert places(written, [{"names": ["b"], "action": "X"}, {"names": ["c"], "action": "X"}]) == {0: 1, 1: 2}


def test_calls_are_named_for_people() -> None:
    assert call_text("ptrace:0x4206") == "ptrace(PTRACE_SEIZE)"
    assert call_text("x86/getpid") == "getpid of SCMP_ARCH_X86"


def test_keys_are_read_as_they_are_written() -> None:
    assert record.parse(record.key("mmap", (0, 4096, 3, 0x22, 2, 0))) == ("mmap", (None, None, 3, 0x22, None, None), "")
    assert record.key("munmap", (0x40_0000, 1)) == "munmap:0x200000"
    assert record.key("munmap", (0x7FFF_0000_1000, 1)) == "munmap:0x7f0000000000"
    assert record.parse("x86/getpid") == ("getpid", (None,) * 6, "SCMP_ARCH_X86")
