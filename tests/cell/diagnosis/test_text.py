"""What a failed trial left is told in few lines, or whole."""

from __future__ import annotations

from worldswitch.harness.cell.diagnosis import text as diagnosis_text
from worldswitch.harness.cell.diagnosis.model import Diagnosis, Event, ProcessSnapshot, ThreadSnapshot

EVENTS = tuple(Event(seconds=number, tracer=1, tid=2, request="PTRACE_CONT", result="0") for number in range(5))


def test_the_last_events_are_told_and_the_others_counted() -> None:
    said = diagnosis_text.events(Diagnosis(events=EVENTS, forgotten=7), last=2)
    assert said == ["... 10 events before", "  3.000000  1 PTRACE_CONT 2 -> 0", "  4.000000  1 PTRACE_CONT 2 -> 0"]
    assert len(diagnosis_text.events(Diagnosis(events=EVENTS))) == 5


def test_nothing_is_said_of_nothing() -> None:
    assert diagnosis_text.events(None) == diagnosis_text.processes(None) == []
    assert diagnosis_text.events(Diagnosis()) == diagnosis_text.processes(Diagnosis()) == []


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
    assert diagnosis_text.processes(found) == [
        "process 8 a, child of 7 (and 2 x)",
        "  thread 8 a: t (tracing stop), traced by 7, in wait4(0x1), waits in do_wait",
        "  thread 9 b: R (running)",
    ]
    assert diagnosis_text.processes(found, whole=True)[2:] == ["    f", "  thread 9 b: R (running)", "  m"]


def test_stacks_are_told_without_pytests_frames() -> None:
    text = (
        'Thread 1:\n  File "/a/switch.py", line 1 in switch\n  File "/b/_pytest/runner.py", line 2 in call\n'
        '  File "/b/xdist/remote.py", line 3 in run\nprinted'
    )
    assert diagnosis_text.output(text) == 'Thread 1:\n  File "/a/switch.py", line 1 in switch\nprinted'
