"""A forked child never unwinds into its parent's frames, and no signal goes to a reaped pid."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from worldswitch.harness.linux import processes, ptrace
from worldswitch.harness.run.syscall_record import unotify


def printed(script: str) -> list[str]:
    """The lines that a program and its forked children print."""
    command = [sys.executable, "-P", "-c", textwrap.dedent(script)]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False).stdout.splitlines()


def test_a_child_never_unwinds_into_its_parents_frames() -> None:
    script = """
        from worldswitch.harness.linux import processes
        def work(): raise RuntimeError("a mistake")
        try:
            processes.call_in_child(work)
        except BaseException as error:
            print(type(error).__name__)
    """
    assert printed(script) == ["RuntimeError"]


def test_an_invalid_command_to_record_leaves_one_process() -> None:
    script = """
        import os
        from worldswitch.harness.run.syscall_record import unotify
        out = os.dup(1)
        try:
            unotify.record(["a\\0b"], dict(os.environ), os.open(os.devnull, os.O_WRONLY), print)
        finally:
            os.write(out, b"went on\\n")
    """
    assert printed(script) == ["went on"]


def test_a_recorded_command_that_hangs_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unotify, "SILENCE_SECONDS", 0.5)
    with Path(os.devnull).open("wb") as log, pytest.raises(unotify.Unrecordable, match="hangs"):
        unotify.record(["sleep", "600"], dict(os.environ), log.fileno(), print)


def test_a_childs_error_is_raised_in_the_parent() -> None:
    def refuse() -> None:
        raise OSError(errno.ENOTTY, "no")

    processes.call_in_child(lambda: None)
    with pytest.raises(OSError, match=os.strerror(errno.ENOTTY)):
        processes.call_in_child(refuse)
    with pytest.raises(OSError, match="killed by signal 9"):
        processes.call_in_child(lambda: os.kill(os.getpid(), signal.SIGKILL))


def test_a_child_that_hangs_is_killed() -> None:
    new = processes.NewDescendants()
    with pytest.raises(TimeoutError):
        processes.call_in_child(signal.pause, 0.05)
    assert new.look() == {}


def test_a_reaped_child_gets_no_signal(monkeypatch: pytest.MonkeyPatch) -> None:
    child = processes.fork(lambda: None)
    os.waitpid(child, 0)
    monkeypatch.setattr(os, "kill", lambda *_: pytest.fail("a signal to a pid that may have been reused"))
    processes.end(child)


def test_a_dead_tracee_gets_no_signal() -> None:
    def trace() -> None:
        with ptrace.stopped_child() as child:
            threading.Timer(0.1, os.kill, (child, signal.SIGKILL)).start()
            ptrace.resume(child, 7)  # PTRACE_CONT

    with pytest.raises(OSError, match="the tracee ended"):
        trace()


def test_a_stop_is_not_an_exit() -> None:
    with ptrace.stopped_child() as child:
        began = time.monotonic()
    assert time.monotonic() - began < processes.CHILD_SECONDS
    with pytest.raises(ChildProcessError):
        os.waitpid(child, os.WNOHANG)


@pytest.fixture
def sleeper() -> Iterator[processes.Process]:
    with subprocess.Popen(["sleep", "600"]) as child:
        yield processes.descendants(os.getpid())[child.pid]
        child.kill()


@pytest.fixture(params=["pidfd", "no pidfd", "pidfd that takes no signal"])
def kernel(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: int) -> int:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    if request.param == "no pidfd":
        monkeypatch.setattr(os, "pidfd_open", refuse)
    if request.param == "pidfd that takes no signal":
        monkeypatch.setattr(signal, "pidfd_send_signal", refuse)


@pytest.mark.usefixtures("kernel")
def test_a_later_process_with_the_pid_is_not_killed(sleeper: processes.Process) -> None:
    processes.kill(replace(sleeper, started=sleeper.started - 1))
    assert processes.descendants(os.getpid())[sleeper.pid].alive
    processes.kill(sleeper)
    assert processes.wait_until(lambda: not processes.descendants(os.getpid())[sleeper.pid].alive, 5.0)


def test_killing_a_dead_process_is_no_error(sleeper: processes.Process) -> None:
    os.kill(sleeper.pid, signal.SIGKILL)
    os.waitid(os.P_PID, sleeper.pid, os.WEXITED | os.WNOWAIT)
    processes.kill(sleeper)
    os.waitpid(sleeper.pid, 0)
    processes.kill(sleeper)


@pytest.mark.parametrize("links", [1, 4])
def test_chains_of_processes_that_fork_and_exit_for_ever_are_killed(links: int) -> None:
    def chain() -> None:
        while True:
            os.setsid()
            if os.fork():
                os._exit(0)

    with processes.subreaper():
        new = processes.NewDescendants()
        for _ in range(links):
            if os.fork() == 0:
                chain()
        time.sleep(0.3)
        begin = time.monotonic()
        assert processes.kill_all(new.look, 20, new.hunt) == []
        assert time.monotonic() - begin < 10
        time.sleep(0.1)
        assert new.look() == {}


def test_the_processes_of_an_older_descendant_are_found() -> None:
    with subprocess.Popen([sys.executable, "-c", "import os; input(); os.fork(); input()"], stdin=-1) as older:
        assert older.stdin is not None
        new = processes.NewDescendants(below=older.pid)
        other = processes.NewDescendants()
        older.stdin.write(b"\n")
        older.stdin.flush()
        assert processes.wait_until(lambda: len(new.look()) == 1, 10)
        assert other.look() == {}
        older.kill()
