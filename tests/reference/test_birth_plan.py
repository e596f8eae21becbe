"""A forked child's steps reach C as they were written, and a failure names its step."""

from __future__ import annotations

import signal
from typing import Any, cast

from worldswitch.reference._core import ffi, lib
from worldswitch.reference.birth_plan import ARCH_SET_CPUID, FAULTS, SIGACTION_SIZE, Step, StubPlan, standard_plan

PARENT, GO, KEY = 4711, 9, 0xBEEF


def standard() -> StubPlan:
    return standard_plan(bytes(16), KEY, GO, PARENT)


def test_steps_are_encoded() -> None:
    memory = ffi.new("unsigned char[8]")
    plan = StubPlan((Step("one", 1, (-1, 2, memory)), Step("two", 2, (), None), Step("three", 3, (), -38)), 0, 0)
    array, kept = plan.encode()
    one, two, three = cast(Any, array)
    address = int(ffi.cast("unsigned long", memory))
    assert list(one.arguments) == [(1 << 64) - 1, 2, address, 0, 0, 0]
    assert [(s.number, s.checked, s.expected) for s in (one, two, three)] == [(1, 1, 0), (2, 0, 0), (3, 1, -38)]
    assert any(item is memory for item in kept)


def test_a_failure_names_its_step() -> None:
    plan = StubPlan((Step("prctl", 1), Step("setsid", 2)), 0, 0)
    assert plan.describe(0, -22) == "at step 1, prctl, which returned -22"
    assert plan.describe(1, 0) == "at step 2, setsid, which returned 0"
    assert plan.describe(2, 0) == "after its last step"


def test_no_crash_leaves_an_orphan_and_no_handler_is_inherited() -> None:
    steps = standard().steps
    assert (steps[0].number, steps[0].arguments) == (lib.SYS_prctl, (lib.PR_SET_PDEATHSIG, signal.SIGKILL))
    assert (steps[1].number, steps[1].expected) == (lib.SYS_getppid, PARENT)
    assert (steps[2].number, steps[2].arguments[0]) == (lib.SYS_read, GO)
    assert steps[-1].number == lib.SYS_seccomp
    reset = {step.arguments[0] for step in steps if step.number == lib.SYS_rt_sigaction}
    assert reset == set(range(1, 65)) - {signal.SIGKILL, signal.SIGSTOP}


def test_signals_that_would_end_a_process_are_ignored_but_for_faults() -> None:
    actions = {s.arguments[0]: s.arguments[1] for s in standard().steps if s.number == lib.SYS_rt_sigaction}
    handlers = {signo: bytes(ffi.buffer(action))[:SIGACTION_SIZE] for signo, action in actions.items()}
    ignored = {signo for signo, action in handlers.items() if action == b"\1" + bytes(SIGACTION_SIZE - 1)}
    assert {action for signo, action in handlers.items() if signo not in ignored} == {bytes(SIGACTION_SIZE)}
    harmless = {signal.SIGCHLD, signal.SIGCONT, signal.SIGURG, signal.SIGWINCH}
    stops = {signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU}
    assert set(handlers) - ignored == {*harmless, *stops, *FAULTS}


def test_cpuid_faults_only_on_request_and_before_the_filter_forbids_to_ask() -> None:
    def requests(plan: StubPlan) -> list[int]:
        return [i for i, step in enumerate(plan.steps) if step.arguments == (ARCH_SET_CPUID, 0)]

    plan = standard_plan(b"", KEY, GO, PARENT, cpuid_faults=True)
    (asked,) = requests(plan)
    assert plan.steps[asked].expected == 0
    assert asked < next(i for i, step in enumerate(plan.steps) if step.number == lib.SYS_seccomp)
    assert requests(standard()) == []


def test_exit_kill_can_be_left_off() -> None:
    assert standard().trace_options & lib.PTRACE_O_EXITKILL
    assert not standard_plan(b"", KEY, GO, PARENT, exit_kill=False).trace_options & lib.PTRACE_O_EXITKILL
