"""The cause of an EPERM from ptrace is found, with each cause really set up; the reference finds the same."""

from __future__ import annotations

import contextlib
import errno
import os
import struct
from collections.abc import Callable
from dataclasses import replace

import msgspec
import pytest

from worldswitch.harness import ptrace_denial
from worldswitch.harness.cell.probes import confinement
from worldswitch.harness.cell.supervisor import supervise
from worldswitch.harness.linux import ptrace, syscalls
from worldswitch.harness.ptrace_denial import Confinement, Mechanism
from worldswitch.harness.report import eperm

prerequisites = pytest.importorskip("worldswitch.reference.prerequisites")  # before a user is who may not read it

PTRACE_TRACEME, PTRACE_O_TRACEFORK, PTRACE_CONT = 0, 2, 7
NOBODY = 65534


def found_in(set_up: Callable[[], object]) -> tuple[Confinement, str, str]:
    """In a process after `set_up`: its confinement, the errno of ptrace, and the reference's message."""

    def body() -> bytes:
        set_up()
        known = replace(ptrace_denial.current(), answers={"PTRACE_SEIZE": confinement.answer("PTRACE_SEIZE")})
        return msgspec.json.encode((known, *_refusal()))

    ending = supervise(body, 30)
    assert ending.payload is not None, ending.output
    return msgspec.json.decode(ending.payload, type=tuple[Confinement, str, str])


def _refusal() -> tuple[str, str]:
    try:
        with ptrace.stopped_child():
            return "", ""
    except OSError as error:
        return errno.errorcode[error.errno or 0], str(prerequisites.refused("PTRACE_SEIZE", error.errno or 0))


def deny_ptrace() -> None:
    ptrace.forbid(101, errno.EPERM)


def deny_seize_only() -> None:
    load_number, load_request = (0x20, 0, 0, 0), (0x20, 0, 0, 16)
    is_ptrace, is_seize = (0x15, 0, 3, 101), (0x15, 0, 1, syscalls.PTRACE_SEIZE)
    ptrace.install_filter(load_number, is_ptrace, load_request, is_seize, (0x06, 0, 0, 0x00050000 | errno.EPERM))


def be_another_user() -> None:
    """Drop all capabilities; this process and its children are no longer dumpable."""
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)


#: The set-up, the cause, and the text in the reference's message.
REAL = (
    (deny_ptrace, Mechanism.SECCOMP, "seccomp: "),
    (deny_seize_only, Mechanism.SECCOMP, "seccomp: "),
    (be_another_user, Mechanism.CAPABILITY, "CAP_SYS_PTRACE"),
)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become another user")
@pytest.mark.parametrize(("set_up", "who", "word"), REAL, ids=[one[0].__name__ for one in REAL])
def test_the_cause_is_found(set_up: Callable[[], object], who: Mechanism, word: str) -> None:
    known, error, reference = found_in(set_up)
    assert error == "EPERM"
    one = ptrace_denial.cause(known)
    assert one is not None
    assert (one.mechanism, one.denies) == (who, True)
    assert one.remedy
    assert word in reference


def test_no_cause_is_found_in_an_unconfined_process() -> None:
    known, error, _ = found_in(lambda: None)
    assert error == ""
    assert [one.mechanism for one in ptrace_denial.checks(known) if one.denies] == []


def test_a_tracer_that_follows_forks_is_found() -> None:
    """A tracer with PTRACE_O_TRACEFORK traces each child from its birth, so no other process can."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        syscalls.ptrace(PTRACE_TRACEME, 0)
        os.kill(os.getpid(), 19)
        os.write(writer, msgspec.json.encode((ptrace_denial.current(), *_refusal_of_a_grandchild())))
        os._exit(0)
    _let_it_run(pid)
    os.close(writer)
    known, error, reference = msgspec.json.decode(os.read(reader, 1 << 16), type=tuple[Confinement, str, str])
    os.close(reader)
    one = ptrace_denial.cause(replace(known, answers={"PTRACE_SEIZE": "ESRCH"}))
    assert error == "EPERM"
    assert one is not None
    assert (one.mechanism, one.denies) == (Mechanism.ALREADY_TRACED, True)
    assert f"process {os.getpid()} (" in one.evidence
    assert f"process {os.getpid()} (" in reference


def _refusal_of_a_grandchild() -> tuple[str, str]:
    child = os.fork()
    if child == 0:
        while True:
            os.getppid()
    try:
        syscalls.ptrace(syscalls.PTRACE_SEIZE, child)
        return "", ""
    except OSError as error:
        return errno.errorcode[error.errno or 0], str(prerequisites.refused("PTRACE_SEIZE", error.errno or 0))
    finally:
        os.kill(child, 9)


def _let_it_run(pid: int) -> None:
    os.waitpid(pid, syscalls.WALL)
    syscalls.ptrace(0x4200, pid, 0, PTRACE_O_TRACEFORK)
    syscalls.ptrace(PTRACE_CONT, pid)
    left = {pid}
    while left:
        stopped, status = os.waitpid(-1, syscalls.WALL)
        if os.WIFSTOPPED(status):
            left.add(stopped)
            event = status >> 16 != 0 or os.WSTOPSIG(status) == 19
            with contextlib.suppress(ProcessLookupError):
                syscalls.ptrace(PTRACE_CONT, stopped, 0, 0 if event else os.WSTOPSIG(status))
        else:
            left.discard(stopped)


FREE = Confinement(user=1000, capabilities="0", dumpable=1, answers={"PTRACE_SEIZE": "ESRCH"})
ROOT = replace(FREE, capabilities=f"{1 << 19:x}")


def but(known: Confinement = FREE, **changes: object) -> Confinement:
    return replace(known, **changes)


#: What is known, whom the request is about, and who it was: surely, or by elimination.
CASES = {
    "nothing is set up, and no module can be seen": (FREE, True, Mechanism.MODULE, None),
    "nothing is set up at all": (but(modules="capability,yama,bpf"), True, None, None),
    "yama 3": (but(ROOT, yama=3), True, Mechanism.YAMA, True),
    "yama 2": (but(yama=2), True, Mechanism.YAMA, True),
    "yama 2, with the capability": (but(ROOT, yama=2, modules="capability"), True, None, None),
    "yama 1, a child": (but(yama=1, modules="capability"), True, None, None),
    "yama 1, a stranger": (but(yama=1), False, Mechanism.YAMA, True),
    "yama 1, a stranger, with the capability": (but(ROOT, yama=1, modules="capability"), False, None, None),
    "yama 0, a stranger": (but(yama=0), False, Mechanism.CAPABILITY, None),
    "not dumpable": (but(dumpable=0), True, Mechanism.CAPABILITY, True),
    "not dumpable, with the capability": (but(ROOT, dumpable=0, modules="capability"), True, None, None),
    "a filter says EPERM": (but(answers={"PTRACE_SEIZE": "EPERM"}), True, Mechanism.SECCOMP, True),
    "a filter says ENOSYS": (but(answers={"PTRACE_SEIZE": "ENOSYS"}), True, Mechanism.SECCOMP, True),
    "a filter kills": (but(answers={"PTRACE_SEIZE": "killed by signal 31"}), True, Mechanism.SECCOMP, True),
    "a filter that nobody asked": (but(answers={}, seccomp=2), True, Mechanism.SECCOMP, None),
    "a filter before a tracer": (but(answers={"PTRACE_SEIZE": "EPERM"}, tracer=9), True, Mechanism.SECCOMP, True),
    "a tracer before yama": (but(tracer=9, yama=3), True, Mechanism.ALREADY_TRACED, True),
    "apparmor": (but(modules="capability,yama,apparmor", label="docker (enforce)"), True, Mechanism.MODULE, None),
}


@pytest.mark.parametrize(("known", "own_child", "who", "denies"), CASES.values(), ids=CASES)
def test_the_cause_is_the_expected_one(
    known: Confinement, own_child: bool, who: Mechanism | None, denies: bool | None
) -> None:
    one = ptrace_denial.cause(known, own_child=own_child)
    assert (one and (one.mechanism, one.denies)) == (who and (who, denies))
    assert {finding.mechanism for finding in ptrace_denial.checks(known)} == set(Mechanism)


def test_every_possible_cause_is_listed_with_its_evidence() -> None:
    assert list(eperm.lines(but(yama=2, modules="capability,yama"))) == [
        "PTRACE_SEIZE: EPERM: yama: ptrace_scope is 2: tracing requires CAP_SYS_PTRACE",
        "  seccomp: no: PTRACE_SEIZE for a nonexistent pid returns ESRCH, as the kernel does: no filter rejects it",
        "  already traced: no: TracerPid is 0",
        "  yama: yes: ptrace_scope is 2: tracing requires CAP_SYS_PTRACE",
        "  capability: no: tracing an own dumpable child requires no capability",
        "  security module: no: another mechanism denies the request first",
        "what to do: grant CAP_SYS_PTRACE, or set ptrace_scope to 0 or 1",
    ]


def test_the_process_s_security_label_is_named() -> None:
    (line,) = [str(one) for one in ptrace_denial.checks(CASES["apparmor"][0]) if one.mechanism is Mechanism.MODULE]
    assert line == "security module: perhaps: apparmor is active; the label of this process is 'docker (enforce)'"


def test_a_filter_that_kills_is_probed_in_a_child() -> None:
    def body() -> bytes:
        ptrace.install_filter((0x20, 0, 0, 0), (0x15, 0, 1, 101), (0x06, 0, 0, 0x80000000))
        return msgspec.json.encode(confinement.look())

    ending = supervise(body, 30)
    assert ending.payload is not None, ending.output
    known = msgspec.json.decode(ending.payload, type=Confinement)
    assert set(known.answers.values()) == {"killed by signal 31"}
    assert known.seccomp == 2


def test_the_confinement_of_this_process_is_read() -> None:
    known = confinement.look()
    assert known.answers == {"PTRACE_SEIZE": "ESRCH", "PTRACE_ATTACH": "ESRCH", "PTRACE_GETREGS": "ESRCH"}
    assert known.user == os.geteuid()
    assert struct.calcsize("=Q") * 2 == len(known.capabilities)
