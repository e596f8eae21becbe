"""The supervisor takes a snapshot of a failing trial's processes before it kills any."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes import _fork_sleeper

from worldswitch.harness.cell import trial
from worldswitch.harness.cell.diagnosis import snapshot
from worldswitch.harness.cell.diagnosis.model import Diagnosis
from worldswitch.harness.cell.supervisor import supervise
from worldswitch.harness.cell.transcript import Transcript
from worldswitch.harness.cell.trial import Result
from worldswitch.harness.contract import Options
from worldswitch.harness.flight import WAIT, Recorder
from worldswitch.harness.linux import ptrace
from worldswitch.harness.verdict import Verdict


@pytest.fixture
def tracee() -> Iterator[int]:
    with ptrace.stopped_child() as pid:
        yield pid


@pytest.fixture
def _room(monkeypatch: pytest.MonkeyPatch) -> None:
    """Room for the threads that other tests left in this process."""
    monkeypatch.setattr(snapshot, "THREADS", 10_000)


@pytest.mark.usefixtures("_room")
def test_a_tracee_is_seen_with_its_tracer_state_and_map(tracee: int) -> None:
    (found,) = [process for process in snapshot.look(os.getpid()) if process.pid == tracee]
    (thread,) = found.threads
    assert (thread.tid, thread.state, thread.tracer) == (tracee, "t (tracing stop)", threading.get_native_id())
    assert (found.pid, found.parent) == (tracee, os.getpid())
    assert any("[vdso]" in line or "[stack]" in line for line in found.maps)
    assert thread.status["Seccomp"] in ("0", "2")


@pytest.mark.usefixtures("_room")
def test_a_waiting_thread_shows_its_system_call() -> None:
    reader, writer = os.pipe()
    waiting = threading.Thread(target=os.read, args=(reader, 1))
    waiting.start()
    assert waiting.native_id
    time.sleep(0.05)
    (found,) = [process for process in snapshot.look(os.getpid()) if process.pid == os.getpid()]
    os.write(writer, b".")
    waiting.join()
    os.close(reader)
    os.close(writer)
    (thread,) = [thread for thread in found.threads if thread.tid == waiting.native_id]
    assert thread.syscall.startswith(f"read({reader:#x}, ")


def test_neighbouring_mappings_of_a_file_are_one_line_and_libraries_are_counted(tmp_path: Path) -> None:
    (tmp_path / "maps").write_text(
        "1000-2000 r--p 00000000 08:01 7    /bin/true\n"
        "2000-3000 r-xp 00001000 08:01 7    /bin/true\n"
        "3000-4000 rw-p 00000000 00:00 0 \n"
        "4000-5000 r-xp 00000000 08:01 8    /lib/libc.so.6\n"
        "5000-6000 rw-s 00000000 00:01 9    /memfd:a name (deleted)\n"
        "6000-7000 rw-p 00000000 00:00 0    [stack]\n"
    )
    assert snapshot._maps(tmp_path) == (
        (
            "1000-3000 /bin/true (2 mappings)",
            "3000-4000 rw-p",
            "5000-6000 /memfd:a name (deleted)",
            "6000-7000 rw-p [stack]",
        ),
        "and 1 libraries",
    )


def test_another_process_sees_the_same(tracee: int) -> None:
    (found,) = snapshot.look_from_outside([tracee])
    assert (found.pid, found.threads[0].state) == (tracee, "t (tracing stop)")


def test_a_snapshot_that_hangs_is_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot, "SECONDS", 0.1)
    monkeypatch.setattr(snapshot, "_processes", lambda _: [time.sleep(60)])
    begin = time.monotonic()
    assert snapshot.look_from_outside([os.getpid()]) == ()
    assert time.monotonic() - begin < 5


def test_a_dead_process_is_omitted() -> None:
    assert snapshot.look_from_outside([1 << 30]) == ()


def test_a_snapshot_of_a_hang_at_the_deadline() -> None:
    def body() -> bytes:
        while True:
            time.sleep(1000)

    ending = supervise(body, 0.3)
    assert ending.moment == "at the deadline"
    assert ending.processes[0].threads[0].syscall.startswith(("clock_nanosleep(", "pselect6("))


def test_a_snapshot_after_a_trials_death() -> None:
    def body() -> bytes:
        _fork_sleeper(escape=False)
        os._exit(5)

    ending = supervise(body, 10)
    assert ending.moment == "after its process died"
    assert [process.name for process in ending.processes] != []


def test_no_snapshot_of_a_success() -> None:
    assert supervise(lambda: b"fine", 10).processes == ()


def test_a_trial_that_hangs_leaves_its_events() -> None:
    def body(_: Transcript, recorder: Recorder) -> Result:
        recorder.note(os.getpid(), 31, 0)
        while True:
            time.sleep(1000)

    result = trial.run(body, 0.3)
    assert result.verdict is Verdict.TIMEOUT
    assert isinstance(result.diagnosis, Diagnosis)
    assert [event.request for event in result.diagnosis.events] == ["PTRACE_SYSEMU"]
    assert result.diagnosis.processes


def test_a_trial_that_is_killed_leaves_its_events() -> None:
    def body(_: Transcript, recorder: Recorder) -> Result:
        recorder.note(5, WAIT, 9)
        os.kill(os.getpid(), signal.SIGKILL)
        return Result(verdict=Verdict.PASS)

    result = trial.run(body, 10)
    assert result.diagnosis is not None
    assert [event.result for event in result.diagnosis.events] == ["killed by SIGKILL"]


def test_a_pass_has_no_diagnosis() -> None:
    def body(_: Transcript, recorder: Recorder) -> Result:
        recorder.note(5, WAIT, 9)
        return Result(verdict=Verdict.PASS)

    assert trial.run(body, 10).diagnosis is None


def test_the_reference_records_in_the_memory_of_its_supervisor() -> None:
    reference = pytest.importorskip("worldswitch.reference.ptrace")

    def body(_: Transcript, recorder: Recorder) -> Result:
        platform = reference.PtracePlatform(Options(recorder=recorder))
        platform.new_address_space()
        os.kill(os.getpid(), signal.SIGKILL)
        return Result(verdict=Verdict.PASS)

    diagnosis = trial.run(body, 20).diagnosis
    assert diagnosis is not None
    requests = {event.request for event in diagnosis.events}
    assert {"PTRACE_SYSEMU", "PTRACE_SETREGS", "PTRACE_GETREGS", "wait4"} <= requests
    assert any(event.registers.get("orig_rax") for event in diagnosis.events)
    assert all(
        event.seconds <= later.seconds for event, later in zip(diagnosis.events, diagnosis.events[1:], strict=False)
    )
