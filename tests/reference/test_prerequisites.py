"""The errors of a platform that cannot run name the cause and the remedy."""

from __future__ import annotations

import errno
import platform as machine
import random
import signal
import struct
from types import SimpleNamespace

import pytest

from worldswitch.harness import ptrace_denial
from worldswitch.harness.contract import Cause, Death, HostError, StubDied, Unavailable
from worldswitch.harness.ptrace_denial import Confinement
from worldswitch.reference import prerequisites, refusals
from worldswitch.reference.birth_plan import Step, StubPlan
from worldswitch.reference.stops import Stop, StopKind

PLAN = StubPlan((Step("prctl(PR_SET_PDEATHSIG)", 157), Step("setsid", 112)), 0, 0)


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """The fields of what restricts this process, at first nothing."""
    fields: dict[str, object] = {}
    monkeypatch.setattr(ptrace_denial, "current", lambda: Confinement(**fields))
    monkeypatch.setattr(refusals, "_answer_for_no_process", lambda _: -errno.ESRCH)
    return fields


def refusal() -> Unavailable:
    error = refusals.refused("PTRACE_SEIZE", errno.EPERM)
    assert isinstance(error, Unavailable)
    assert "PTRACE_SEIZE" in error.reason
    assert "EPERM" in error.reason
    assert error.remedy
    return error


def test_a_tracer_is_named(known: dict[str, object]) -> None:
    known["tracer"] = 4711
    assert "process 4711 traces this process" in refusal().reason
    assert "strace" in refusal().remedy


def test_yama_is_named(known: dict[str, object]) -> None:
    known["yama"] = 2
    assert "yama: ptrace_scope is 2" in refusal().reason
    known["capabilities"] = f"{1 << ptrace_denial.CAP_SYS_PTRACE:016x}"
    assert "yama" not in refusal().reason


@pytest.mark.parametrize("scope", [0, 1])
def test_yama_is_not_blamed(known: dict[str, object], scope: int) -> None:
    known["yama"] = scope
    assert "yama" not in str(refusal())


@pytest.mark.parametrize("answer", [-errno.EPERM, -errno.ENOSYS])
def test_a_seccomp_filter_is_known_by_its_answer(
    known: dict[str, object], monkeypatch: pytest.MonkeyPatch, answer: int
) -> None:
    monkeypatch.setattr(refusals, "_answer_for_no_process", lambda _: answer)
    known["seccomp"], known["tracer"] = 2, 4711
    assert "seccomp: PTRACE_SEIZE for a nonexistent pid" in refusal().reason
    assert "profile" in refusal().remedy


def test_a_process_that_is_not_dumpable_is_named(known: dict[str, object]) -> None:
    known["dumpable"] = 0
    assert "not dumpable" in refusal().reason
    assert "PR_SET_DUMPABLE" in refusal().remedy
    known["capabilities"] = f"{1 << ptrace_denial.CAP_SYS_PTRACE:016x}"
    assert "dumpable" not in refusal().reason


def test_what_is_left_is_a_security_module(known: dict[str, object]) -> None:
    assert "security module" in refusal().reason


def test_where_nothing_is_left_that_is_said(known: dict[str, object]) -> None:
    known["modules"] = "capability,yama"
    assert "nothing that can be seen" in refusal().reason


def test_an_errno_without_a_name(known: dict[str, object]) -> None:
    assert "4095" in str(refusals.refused("PTRACE_SEIZE", 4095))


def test_scope_3_takes_a_reboot_whoever_one_is(known: dict[str, object]) -> None:
    known["yama"] = 3
    known["capabilities"] = f"{1 << ptrace_denial.CAP_SYS_PTRACE:016x}"
    assert "ptrace_scope is 3" in refusal().reason
    assert "reboot" in refusal().remedy


@pytest.mark.parametrize("scope", [2, 3])
def test_yama_answers_eperm_and_nothing_else(known: dict[str, object], scope: int) -> None:
    known["yama"] = scope
    assert "yama" not in str(refusals.refused("PTRACE_SEIZE", errno.ENOSYS))


def test_another_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "machine", lambda: "aarch64")
    with pytest.raises(Unavailable, match=r"aarch64.*x86_64 only"):
        prerequisites.check_machine()


def stillborn(step: int, result: int, stop: Stop) -> Exception:
    return prerequisites.stillborn(PLAN, SimpleNamespace(step=step, result=result), stop)


def test_a_child_that_a_filter_killed() -> None:
    error = stillborn(1, 0, Stop(StopKind.DEATH, signal.SIGSYS))
    assert isinstance(error, Unavailable)
    assert "setsid" in error.reason
    assert "allow the system call" in error.remedy


def test_a_child_whose_step_failed() -> None:
    error = stillborn(0, -errno.EINVAL, Stop(StopKind.DEATH, 0, 1))
    assert isinstance(error, HostError)
    assert error.errno == errno.EINVAL
    assert "with status 1 at step 1, prctl(PR_SET_PDEATHSIG)" in str(error)


def test_a_child_that_never_came_to_its_trap() -> None:
    error = stillborn(2, 0, Stop(StopKind.DEATH, signal.SIGSEGV))
    assert isinstance(error, Unavailable)
    assert "by signal 11 after its last step" in error.reason


def test_sealed_mappings_are_named() -> None:
    error = prerequisites.explain(HostError(errno.EPERM, "munmap(0x0, 0x7fff00000000) in the stub"))
    assert "seals its own mappings" in error.reason
    assert "CONFIG_MSEAL_SYSTEM_MAPPINGS" in error.remedy


@pytest.mark.parametrize(
    "first",
    [
        HostError(errno.ENOMEM, "munmap(0x0, 0x1000) in the stub"),
        HostError(errno.EPERM, "clone in the stub"),
        StubDied(Cause(Death.SECCOMP)),
    ],
)
def test_nothing_else_is_taken_for_sealed(first: HostError | StubDied) -> None:
    error = prerequisites.explain(first)
    assert "seals" not in str(error)
    assert str(first) in error.reason


def test_the_initial_extended_state() -> None:
    image = random.Random(1).randbytes(2696)
    initial = prerequisites.initial_xstate(image)
    assert len(initial) == len(image)
    assert struct.unpack_from("=H", initial, 0) == (0x37F,)
    assert struct.unpack_from("=I", initial, 24) == (0x1F80,)
    kept = [range(28, 32), range(464, 512), range(520, 528)]  # MXCSR's mask, the software's bytes, XCOMP_BV
    assert all(initial[place] == image[place] for part in kept for place in part)
    known = {0, 1, 24, 25, 26, 27, *(place for part in kept for place in part)}
    assert not any(byte for place, byte in enumerate(initial) if place not in known)
