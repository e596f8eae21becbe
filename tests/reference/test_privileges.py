"""What a stub has of its maker where no claim about a platform says it: no signal stack, and nothing unasked."""

from __future__ import annotations

import ctypes
import mmap
import os
import resource
import struct
import threading
from collections.abc import Callable
from pathlib import Path

import confined
import msgspec
import pytest

from worldswitch.harness.cell.supervisor import supervise
from worldswitch.harness.contract import Access, HostError, Options
from worldswitch.reference import privileges
from worldswitch.reference.birth_plan import Step
from worldswitch.reference.ptrace import PtracePlatform

SYS_SIGALTSTACK, SS_DISABLE = 131, 2  # asm/unistd_64.h, linux/signal.h
STACK = "=QixxxxQ"  # stack_t


def test_a_thread_of_a_stub_has_no_signal_stack_though_its_maker_has() -> None:
    memory = ctypes.create_string_buffer(1 << 16)
    stack = struct.pack(STACK, ctypes.addressof(memory), 0, len(memory))
    given: dict[str, int] = {}

    def give(*_: object) -> None:
        name = threading.current_thread().name
        if name not in given:
            given[name] = ctypes.CDLL(None).sigaltstack(stack, None)

    threading.setprofile(give)
    try:
        platform = PtracePlatform(Options(injectable=(SYS_SIGALTSTACK,)))
    finally:
        threading.setprofile(None)
    try:
        space = platform.new_address_space()
        file = os.memfd_create("answer")
        os.ftruncate(file, mmap.PAGESIZE)
        answer = mmap.mmap(file, mmap.PAGESIZE)
        space.map_file(0x40_0000, file, 0, mmap.PAGESIZE, Access.READ | Access.WRITE)
        assert given["worldswitch-creator"] == 0
        assert space.inject(SYS_SIGALTSTACK, 0, 0x40_0000) == 0
        assert struct.unpack_from(STACK, answer) == (0, SS_DISABLE, 0)
    finally:
        platform.close()
        os.close(file)


PERSONALITY, GETPRIORITY, SCHED_GETSCHEDULER, PRLIMIT64 = 135, 140, 145, 302  # asm/unistd_64.h
QUESTIONS = (PERSONALITY, GETPRIORITY, SCHED_GETSCHEDULER, PRLIMIT64)


def steps_of(find: Callable[[], list[Step]], prepare: Callable[[], object], answer: int, own: Path) -> list[str]:
    """The names of the steps in a process where a filter answers every question, or the error."""

    def look() -> bytes:
        privileges.OWN = own
        prepare()
        confined.confine(*(f"errno:{number}:{answer}" for number in QUESTIONS))
        try:
            return msgspec.json.encode([step.name for step in find()])
        except HostError as error:
            return msgspec.json.encode([str(error)])

    ending = supervise(look, 30)
    assert ending.payload is not None, ending.output
    return msgspec.json.decode(ending.payload, type=list[str])


def stat_of(folder: Path, policy: int, nice: int) -> Path:
    """A folder as /proc has of a thread with this priority."""
    fields = ["0"] * 52
    fields[2], fields[18], fields[40] = "R", str(nice), str(policy)
    (folder / "stat").write_text(f"1 (a ) b) {' '.join(fields[2:])}\n")
    return folder


@pytest.mark.parametrize("answer", [0, 1])
@pytest.mark.parametrize(
    ("policy", "nice", "steps"),
    [
        (os.SCHED_OTHER, 0, []),
        (os.SCHED_BATCH, 5, []),
        (os.SCHED_FIFO, 0, ["sched_setscheduler(SCHED_OTHER)"]),
        (os.SCHED_RR, -20, ["sched_setscheduler(SCHED_OTHER)", "setpriority"]),
        (os.SCHED_OTHER, -1, ["setpriority"]),
    ],
)
def test_a_priority_is_found_though_a_filter_answers(
    tmp_path: Path, policy: int, nice: int, steps: list[str], answer: int
) -> None:
    own = stat_of(tmp_path, policy, nice)
    assert steps_of(privileges.ordinary_priority, lambda: None, answer, own) == steps


@pytest.mark.parametrize("answer", [0, 1])
def test_a_personality_is_found_though_a_filter_answers(answer: int) -> None:
    def be_lax() -> None:
        ctypes.CDLL(None).personality(privileges.READ_IMPLIES_EXEC)

    assert steps_of(privileges.no_implied_access, be_lax, answer, privileges.OWN) == ["personality"]
    assert steps_of(privileges.no_implied_access, lambda: None, answer, privileges.OWN) == []


@pytest.mark.parametrize(
    ("find", "question"),
    [
        (privileges.ordinary_priority, "sched_getscheduler or getpriority, for the priority"),
        (privileges.no_implied_access, "personality(2), for the personality"),
    ],
)
def test_what_cannot_be_asked_is_an_error(tmp_path: Path, find: Callable[[], list[Step]], question: str) -> None:
    (said,) = steps_of(find, lambda: None, 1, tmp_path)
    assert said.startswith(f"[Errno 1] {question}")
    assert f"allow the call, or mount a /proc that has {tmp_path}" in said
    assert said.endswith("Operation not permitted")


@pytest.mark.parametrize("find", [privileges.ordinary_priority, privileges.no_implied_access])
def test_without_proc_the_calls_are_asked(tmp_path: Path, find: Callable[[], list[Step]]) -> None:
    """The filter answers 0: the default policy, nice value and personality."""
    assert steps_of(find, lambda: None, 0, tmp_path) == []


def test_a_core_limit_that_cannot_be_asked_is_set() -> None:
    def allow_none() -> None:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    assert steps_of(privileges.no_core_dump, allow_none, 1, privileges.OWN) == ["prlimit64(RLIMIT_CORE)"]
