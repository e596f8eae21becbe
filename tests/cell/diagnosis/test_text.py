"""A diagnosis as text, short or whole."""

from __future__ import annotations

from worldswitch.harness.cell.diagnosis import text
from worldswitch.harness.cell.diagnosis.model import Diagnosis, Event, ProcessSnapshot, ThreadSnapshot

EVENTS = tuple(Event(seconds=number, tracer=1, tid=2, request="PTRACE_CONT", result="0") for number in range(5))


def test_the_last_events_are_shown_and_the_others_counted() -> None:
    shown = text.events(Diagnosis(events=EVENTS, forgotten=7), last=2)
    assert shown == ["... 10 events before", "  3.000000  1 PTRACE_CONT 2 -> 0", "  4.000000  1 PTRACE_CONT 2 -> 0"]
    assert len(text.events(Diagnosis(events=EVENTS))) == 5


def test_an_empty_diagnosis_has_no_text() -> None:
    assert text.events(None) == text.processes(None) == []
    assert text.events(Diagnosis()) == text.processes(Diagnosis()) == []


def test_a_thread_is_a_line() -> None:
    threads = (
        ThreadSnapshot(
            tid=8, name="a", state="t (tracing stop)", tracer=7, syscall="wait4(0x1)", wchan="do_wait", stack=("f",)
        ),
        ThreadSnapshot(tid=9, name="b", state="R (running)", syscall="running"),
    )
    found = Diagnosis(
        processes=(ProcessSnapshot(pid=8, parent=7, name="a", threads=threads, maps=("m",), left_out="and 2 x"),)
    )
    assert text.processes(found) == [
        "process 8 a, child of 7 (and 2 x)",
        "  thread 8 a: t (tracing stop), traced by 7, in wait4(0x1), waits in do_wait",
        "  thread 9 b: R (running)",
    ]
    assert text.processes(found, whole=True)[2:] == ["    f", "  thread 9 b: R (running)", "  m"]


def test_stacks_omit_pytests_frames() -> None:
    printed = (
        'Thread 1:\n  File "/a/switch.py", line 1 in switch\n  File "/b/_pytest/runner.py", line 2 in call\n'
        '  File "/b/xdist/remote.py", line 3 in run\nprinted'
    )
    assert text.output(printed) == 'Thread 1:\n  File "/a/switch.py", line 1 in switch\nprinted'
