"""A supervised function returns, hangs, dies or leaves processes, and its supervisor is unchanged."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from fakes import _fork_sleeper

from worldswitch.harness.cell import supervisor
from worldswitch.harness.cell.supervisor import supervise
from worldswitch.harness.cell.transcript import SIZE, Transcript
from worldswitch.harness.linux import processes


@pytest.fixture(autouse=True)
def nothing_is_left() -> object:
    fds, below = len(list(Path("/proc/self/fd").iterdir())), processes.descendants(os.getpid()).keys()
    yield
    assert len(list(Path("/proc/self/fd").iterdir())) == fds
    assert processes.descendants(os.getpid()).keys() <= below


def test_the_payload_is_the_bodys_result() -> None:
    ending = supervise(lambda: b"payload " * 100_000, 10)
    assert ending.payload == b"payload " * 100_000
    assert (ending.late, ending.strays, ending.output) == (False, (), "")


def test_the_bodys_output_is_stored() -> None:
    def body() -> bytes:
        print("by Python")
        os.write(2, b"by the kernel\n")
        return b""

    assert set(supervise(body, 10).output.splitlines()) == {"by Python", "by the kernel"}


def test_an_escaped_process_is_a_stray_every_time() -> None:
    def body() -> bytes:
        _fork_sleeper(escape=True)
        return b""

    assert [len(supervise(body, 10).strays) for _ in range(3)] == [1, 1, 1]


def test_a_process_that_ends_by_itself_is_no_stray() -> None:
    def body() -> bytes:
        subprocess.Popen(["sleep", "0.2"])
        return b""

    assert supervise(body, 10).strays == ()


def test_a_process_without_its_leader_is_alive() -> None:
    def body() -> bytes:
        if os.fork() == 0:
            threading.Thread(target=time.sleep, args=(1000,)).start()
            ctypes.CDLL(None).pthread_exit(None)
        return b""

    assert len(supervise(body, 10).strays) == 1


def test_an_exception_is_a_death_with_a_traceback() -> None:
    ending = supervise(lambda: b"" + "text", 10)  # type: ignore[operator]
    assert ending.payload is None
    assert "TypeError" in ending.output


@pytest.mark.parametrize("signo", [signal.SIGSEGV, signal.SIGTERM])
def test_a_signal_is_a_death(signo: signal.Signals) -> None:
    def body() -> bytes:
        os.kill(os.getpid(), signo)
        return b""

    ending = supervise(body, 10)
    assert ending.status is not None
    assert os.WTERMSIG(ending.status) == signo


def test_a_late_child_prints_its_stacks() -> None:
    def sleep_long() -> bytes:
        time.sleep(60)
        return b""

    ending = supervise(sleep_long, 0.2)
    assert ending.late
    assert "sleep_long" in ending.output


def test_a_child_that_blocks_every_signal_is_killed() -> None:
    def body() -> bytes:
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        while True:
            os.write(2, b"alive\n")

    assert supervise(body, 0.3).late


def test_a_signal_to_its_process_group_does_not_reach_the_supervisor() -> None:
    def body() -> bytes:
        os.kill(0, signal.SIGKILL)
        return b""

    assert supervise(body, 10).payload is None


def test_the_child_dies_with_its_supervisor() -> None:
    text = (
        "import os, time\n"
        "from worldswitch.harness.cell.supervisor import supervise\n"
        "def body():\n"
        "    os.write(out, b'%d\\n' % os.getpid())\n"
        "    time.sleep(1000)\n"
        "out = os.memfd_create('pid', 0)\n"
        "import threading\n"
        "def die():\n"
        "    while not os.pread(out, 20, 0).endswith(b'\\n'): time.sleep(0.001)\n"
        "    os.write(1, os.pread(out, 20, 0))\n"
        "    os.kill(os.getpid(), 9)\n"
        "threading.Thread(target=die).start()\n"
        "supervise(body, 1000)\n"
    )
    command = [sys.executable, "-W", "error", "-c", text]
    finished = subprocess.run(command, stdout=subprocess.PIPE, timeout=30, check=False)
    pid = int(finished.stdout)
    assert finished.returncode == -signal.SIGKILL
    assert processes.wait_until(lambda: not _lives(pid), 5)


def _lives(pid: int) -> bool:
    process = processes.read(pid)
    return process is not None and process.alive


def test_without_pidfd_the_supervisor_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(pid: int) -> int:
        raise OSError

    monkeypatch.setattr(os, "pidfd_open", refuse)
    assert supervise(lambda: b"here", 10).payload == b"here"
    ending = supervise(lambda: os._exit(4), 10)
    assert ending.status is not None
    assert os.waitstatus_to_exitcode(ending.status) == 4


def test_ctrl_c_kills_the_child(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(watch: object, end: float) -> bool:
        raise KeyboardInterrupt

    monkeypatch.setattr(supervisor, "_wait", interrupt)
    with pytest.raises(KeyboardInterrupt):
        supervise(lambda: time.sleep(1000) or b"", 1000)


def test_an_ignored_sigchld_does_not_lose_the_status() -> None:
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        ending = supervise(lambda: os._exit(5), 10)
    finally:
        signal.signal(signal.SIGCHLD, before)
    assert ending.status is not None
    assert os.waitstatus_to_exitcode(ending.status) == 5


def test_a_transcript_outlives_its_writer() -> None:
    transcript = Transcript()

    def body() -> bytes:
        for number in range(SIZE // 8):
            transcript.note(f"note {number}")
        os._exit(1)

    supervise(body, 10)
    lines = transcript.lines()
    assert lines[0] == "..."
    numbers = [int(line.split()[-1]) for line in lines[1:]]
    assert numbers == list(range(numbers[0], SIZE // 8))


def test_an_empty_transcript_has_no_lines() -> None:
    assert Transcript().lines() == []


def test_the_dead_of_a_chain_are_reaped_while_the_body_runs() -> None:
    supervisor_pid = os.getpid()

    def body() -> bytes:
        for _ in range(100):
            if os.fork() == 0:
                os.fork()
                os._exit(0)
        while True:
            try:
                os.wait()
            except ChildProcessError:
                break
        time.sleep(0.5)
        adopted = [found for found in processes.descendants(supervisor_pid).values() if not found.alive]
        return str(len(adopted)).encode()

    assert supervise(body, 30).payload == b"0"
