"""The simulator answers as the kernel does under the same filter, and as the rules say."""

from __future__ import annotations

import os
from collections import Counter
from typing import Any

import pytest
import random_filters
import witness
from hypothesis import HealthCheck, given, reject, settings

from worldswitch.harness.environments.simulation import bpf, library
from worldswitch.harness.environments.simulation.answer import ALLOW, ERRNO, KILL_THREAD, Answer
from worldswitch.harness.environments.simulation.filter_simulator import Call, FilterSimulator
from worldswitch.harness.environments.simulation.library import Rejected
from worldswitch.harness.environments.simulation.runtime_rules import rules

FILTERS = int(os.environ.get("WORLDSWITCH_FILTERS", "60"))
SIGSYS = 31

needs_libseccomp = pytest.mark.skipif(library.load() is None, reason="libseccomp is not installed")
RUNTIMES = ("runc", "crun")


def expected(simulator: FilterSimulator, unfiltered: list[str]) -> list[str]:
    """What the simulator says of the witness's calls: their own result if allowed."""
    return [as_seen(one, plain) for one, plain in zip(answers(simulator), unfiltered, strict=True)]


def answers(simulator: FilterSimulator) -> list[Answer]:
    found = []
    for name, number, arguments in witness.CALLS:
        architecture = "SCMP_ARCH_X32" if "x32" in name else ""
        words = (*arguments, *[0] * (6 - len(arguments)))
        plain = name.removesuffix(" of x32")
        (answer,) = simulator.answers(Call(plain, words, architecture, number))
        found.append(answer)
    return found


def as_seen(answer: Answer, plain: str) -> str:
    if answer.allowed:
        return plain
    return f"signal {SIGSYS}" if answer.kills else f"errno {answer.errno}"


@needs_libseccomp
@settings(max_examples=FILTERS, deadline=None, suppress_health_check=list(HealthCheck))
@given(random_filters.filters())
def test_the_kernel_answers_as_simulated(content: dict[str, Any]) -> None:
    unfiltered = witness.results(witness.CALLS)
    for runtime in RUNTIMES:
        simulator = simulated(content, runtime)
        assert simulator.program is not None
        wanted = expected(simulator, unfiltered)
        seen = witness.results(witness.CALLS, bpf.encode(simulator.program))
        if seen != wanted:  # the interpreter may be killed for a call of its own, to get memory
            seen = witness.results(witness.CALLS, bpf.encode(simulator.program))
        assert dict(enumerate(seen)) == dict(enumerate(wanted))


def simulated(content: dict[str, Any], runtime: str = "runc") -> FilterSimulator:
    """Return the simulator, unless libseccomp rejects the filter: no runtime starts a container under it."""
    try:
        return FilterSimulator(content, runtime=runtime)
    except Rejected as problem:
        reject()
        raise AssertionError from problem


def overlapping(content: dict[str, Any]) -> set[str]:
    """The calls that have several rules with conditions, whose order libseccomp decides."""
    named = Counter(rule.name for rule in rules(content) if rule.conditions)
    return {name for name, count in named.items() if count > 1}


@needs_libseccomp
@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(random_filters.filters())
def test_rules_are_evaluated_as_libseccomp_compiles_them(content: dict[str, Any]) -> None:
    compiled, evaluated = simulated(content), simulated(content)
    evaluated.program = None
    for (name, _, _), one, other in zip(witness.CALLS, answers(compiled), answers(evaluated), strict=True):
        if name.removesuffix(" of x32") not in overlapping(content):
            assert one == other, name


@needs_libseccomp
def test_arguments_of_x32_are_compared_in_their_lower_32_bits() -> None:
    for operator, errno in {"NE": None, "LT": None, "EQ": 1, "GE": 1}.items():
        condition = {"index": 0, "op": f"SCMP_CMP_{operator}", "value": 1 << 32}
        rule = {"names": ["getppid"], "action": "SCMP_ACT_ERRNO", "args": [condition]}
        assert_same(Call("getppid", (0,) * 6, "SCMP_ARCH_X32"), errno, [rule], ["SCMP_ARCH_X86_64", "SCMP_ARCH_X32"])


@needs_libseccomp
def test_a_mask_of_no_bit_is_no_condition() -> None:
    empty = {"index": 0, "op": "SCMP_CMP_MASKED_EQ", "value": 0}
    first = {"names": ["clone"], "action": "SCMP_ACT_ERRNO", "errnoRet": 5, "args": [empty]}
    second = {"names": ["clone"], "action": "SCMP_ACT_ERRNO", "errnoRet": 13}
    assert_same(Call("clone", (1,) * 6), 5, [first, second], ["SCMP_ARCH_X86_64"])


def assert_same(call: Call, errno: int | None, rules: list[dict[str, Any]], architectures: list[str]) -> None:
    """Assert that libseccomp's program and the evaluated rules answer a call with this errno."""
    simulator = simulated({"defaultAction": "SCMP_ACT_ALLOW", "architectures": architectures, "syscalls": rules})
    for _ in range(2):
        (answer,) = simulator.answers(call)
        assert answer.errno == errno
        simulator.program = None


def test_an_unknown_argument_has_several_answers() -> None:
    rule = {
        "names": ["ptrace"],
        "action": "SCMP_ACT_ERRNO",
        "args": [{"index": 0, "op": "SCMP_CMP_EQ", "value": 16}],
    }
    simulator = FilterSimulator({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]})
    found = simulator.answers(Call("ptrace"))
    assert found == [Answer(ERRNO | 1, "syscalls[0]"), Answer(ALLOW, "defaultAction")]
    assert simulator.answers(Call("ptrace", (16, *[None] * 5))) == [Answer(ERRNO | 1, "syscalls[0]")]


@pytest.mark.parametrize(("runtime", "said"), [("runc", "SCMP_ACT_ERRNO ENOSYS"), ("crun", "SCMP_ACT_ERRNO EPERM")])
def test_runc_answers_enosys_to_calls_newer_than_the_filter(runtime: str, said: str) -> None:
    content = {
        "defaultAction": "SCMP_ACT_ERRNO",
        "architectures": ["SCMP_ARCH_X86_64"],
        "syscalls": [{"names": ["read", "memfd_create"], "action": "SCMP_ACT_ALLOW"}],
    }
    (answer,) = FilterSimulator(content, runtime=runtime).answers(Call("clone3"))
    assert str(answer) == said
    (older,) = FilterSimulator(content, runtime=runtime).answers(Call("getppid"))
    assert str(older) == "SCMP_ACT_ERRNO EPERM"


def test_an_architecture_that_the_filter_does_not_list_kills() -> None:
    simulator = FilterSimulator({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": []})
    (answer,) = simulator.answers(Call("getppid", architecture="SCMP_ARCH_X86"))
    assert answer == Answer(KILL_THREAD, "`architectures`, which lacks SCMP_ARCH_X86")


def test_a_rule_is_named_by_its_place_in_the_users_file() -> None:
    content = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["kcmp"], "action": "SCMP_ACT_KILL"}]}
    (answer,) = FilterSimulator(content, places={0: 7}).answers(Call("kcmp"))
    assert (answer.rule, answer.action, answer.kills) == ("syscalls[7]", "SCMP_ACT_KILL_THREAD", True)


def test_an_unknown_call_is_an_error() -> None:
    simulator = FilterSimulator({"defaultAction": "SCMP_ACT_ALLOW"})
    with pytest.raises(KeyError, match="ptracee"):
        simulator.answers(Call("ptracee"))


@needs_libseccomp
def test_what_libseccomp_rejects_is_an_error() -> None:
    with pytest.raises(Rejected, match="SCMP_ARCH_PDP11"):
        FilterSimulator({"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_PDP11"]})
