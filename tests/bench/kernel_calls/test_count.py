"""Kernel calls are counted exactly; a different count fails here, on any machine."""

from __future__ import annotations

import sys

import pytest
from paths import PYTHONPATH

from worldswitch.harness.bench.kernel_calls import count
from worldswitch.harness.bench.kernel_calls.count import Count, MarkedCalls, TracedCall
from worldswitch.harness.bench.kernel_calls.process import OPERATIONS

KNOWN = count.known()

#: Operations that end a stub: its threads are listed once more if they take longer to end.
ENDING = ("born", "first_switch", "first_map")


@pytest.mark.parametrize("operation", OPERATIONS)
def test_the_reference_has_the_known_counts(operation: str) -> None:
    found = count.count(operation)
    known = KNOWN[operation]
    assert found.exact[:-1] == known.exact[:-1], "if the count is lower, update known.toml"
    assert found.files - known.files in ((0, 1) if operation in ENDING else (0,))
    assert (found.bytes > 0) == (found.ptrace > 0)
    assert (found.switches > 1) == (found.stops > 0)


def test_every_operation_has_known_counts() -> None:
    assert KNOWN.keys() == OPERATIONS.keys()


def test_one_more_stop_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", PYTHONPATH)
    found = count.count("resident", "wasteful:Wasteful")
    assert found.stops == KNOWN["resident"].stops + 1
    assert found.waits > KNOWN["resident"].waits
    assert found.ptrace > KNOWN["resident"].ptrace


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_wasteful_platform_is_noticed_in_every_operation(operation: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", PYTHONPATH)
    found, known = count.count(operation, "wasteful:Wasteful").exact, KNOWN[operation].exact
    assert found != known
    assert all(one >= other for one, other in zip(found, known, strict=True))


def test_each_count_is_the_least_of_all_repetitions() -> None:
    counts = [Count(ptrace=3, waits=2, stops=1, files=4), Count(ptrace=3, waits=1, stops=1, files=5)]
    assert count._least(counts).exact == (3, 1, 1, 4)


def test_an_unknown_platform_is_an_error() -> None:
    with pytest.raises(OSError, match="no platform is called 'nobody'"):
        count.count("resident", "nobody")


def test_a_hanging_process_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(count, "SECONDS", 3.0)
    script = "import sys, time; print(1, flush=True); sys.stdin.readline(); time.sleep(600)"
    with count._started([sys.executable, "-c", script]) as process:
        assert process.stdout
        process.stdout.readline()
        with pytest.raises(OSError, match="killed by signal 9"):
            list(count._between_marks(process))


def test_a_process_that_never_starts_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(count, "SECONDS", 0.001)
    with pytest.raises(OSError, match="resident"):
        count.count("resident")


def test_only_calls_between_marks_count() -> None:
    marked = MarkedCalls(mark=1)
    calls = [
        TracedCall(5, ()),
        TracedCall(1, ()),
        TracedCall(6, ()),
        TracedCall(7, ()),
        TracedCall(1, ()),
        TracedCall(8, ()),
        TracedCall(1, ()),
        TracedCall(1, ()),
    ]
    done = [[call.number for call in found] for call in calls if (found := marked.take(call)) is not None]
    assert done == [[6, 7], []]


def test_bytes_are_those_that_the_requests_copied() -> None:
    ptrace = count.syscalls.PTRACE["x86_64"]
    calls = [
        TracedCall(ptrace, (12, 1, 0, 0)),
        TracedCall(ptrace, (count.GETREGSET, 1, 0, 0), moved=2432),
        TracedCall(ptrace, (count.GET_SYSCALL_INFO, 1, 96, 0), result=88),
        TracedCall(ptrace, (31, 1, 0, 0)),
        TracedCall(count.WAIT4, (1,), result=0),
        TracedCall(count.WAIT4, (1,), result=1),
        TracedCall(24, ()),
        TracedCall(count.OPENAT, ()),
    ]
    assert count._summed(calls) == Count(ptrace=4, waits=2, stops=1, files=1, bytes=216 + 2432 + 88 + 4)
