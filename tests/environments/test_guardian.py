"""The guardian ends the runner's processes however the runner ends, and a sweep removes abandoned runs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import docker
import pytest

from worldswitch.harness.environments import guardian, run_resources
from worldswitch.harness.environments.cache import cache as cache_folder
from worldswitch.harness.environments.cache import place
from worldswitch.harness.environments.docker import bounded
from worldswitch.harness.environments.guardian import GuardedProcess
from worldswitch.harness.environments.run_resources import RunResources
from worldswitch.harness.errors import Unobtainable

SECONDS = 10.0

#: A command that leaves a daemon: forked twice, in its own session, ignoring SIGTERM.
DAEMON = "trap '' TERM; (setsid sh -c 'echo $$; exec sleep 600' &) ; sleep 601"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "worldswitch"


def is_gone(pid: int) -> bool:
    """True if a process ends within a guardian's time limit."""
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.02)
    return False


def first_number(stream: object) -> int:
    return int(stream.readline())  # type: ignore[attr-defined]


def test_a_guardian_exits_with_the_command_s_status() -> None:
    assert GuardedProcess(["sh", "-c", "exit 7"]).process.wait(SECONDS) == 7
    assert GuardedProcess(["sh", "-c", "kill -9 $$"]).process.wait(SECONDS) == 128 + signal.SIGKILL
    assert GuardedProcess(["/nowhere/command"], stderr=subprocess.DEVNULL).process.wait(SECONDS) == 127


def test_a_defect_of_the_guardian_has_a_status_of_its_own() -> None:
    command = [sys.executable, "-m", "worldswitch.harness.environments.guardian_process", '{"unknown": 1}']
    ended = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    first, *trace = ended.stderr.splitlines()
    assert ended.returncode == os.EX_SOFTWARE
    assert first.startswith("guardian process: internal error: TypeError: ")
    assert trace[0].startswith("Traceback")


def test_release_ends_the_command_and_its_daemons() -> None:
    with GuardedProcess(["sh", "-c", DAEMON], stdout=subprocess.PIPE) as held:
        daemon = first_number(held.process.stdout)
        assert held.release() == 128 + signal.SIGKILL
        assert is_gone(daemon)


def test_a_command_s_exit_ends_its_daemons() -> None:
    command = ["sh", "-c", "setsid sleep 600 & echo $!"]
    with GuardedProcess(command, stdout=subprocess.PIPE) as held:
        daemon = first_number(held.process.stdout)
        assert held.process.wait(SECONDS) == 0
        assert is_gone(daemon)


def test_a_command_gets_its_grace_period() -> None:
    script = "trap 'echo 2; exit 3' TERM; echo 1; while :; do sleep 0.05; done"
    with GuardedProcess(["sh", "-c", script], grace=SECONDS, stdout=subprocess.PIPE) as held:
        assert first_number(held.process.stdout) == 1
        assert held.release() == 3
        assert first_number(held.process.stdout) == 2


@pytest.mark.parametrize("signo", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_guardian_cleans_up_when_it_is_signalled(signo: signal.Signals) -> None:
    with GuardedProcess(["sh", "-c", DAEMON], stdout=subprocess.PIPE) as held:
        daemon = first_number(held.process.stdout)
        held.process.send_signal(signo)
        held.process.wait(SECONDS)
        assert is_gone(daemon)


#: A guardian that is killed after its fork and before the child's PR_SET_PDEATHSIG.
DYING = """
import os, signal, time
from worldswitch.harness.environments.guardian import Orders
from worldswitch.harness.environments.guardian_process import Guardian
guardian, fork = os.getpid(), os.fork
def fork_and_die():
    pid = fork()
    if pid:
        os.kill(guardian, signal.SIGKILL)
    while os.getppid() == guardian:
        time.sleep(0.01)
    return pid
os.fork = fork_and_die
Guardian(Orders(os.pipe()[0], ("echo", "the command runs")))
"""


def test_a_command_does_not_start_after_its_guardian_s_death() -> None:
    with subprocess.Popen([sys.executable, "-P", "-c", DYING], stdout=subprocess.PIPE) as guardian:
        output, _ = guardian.communicate(timeout=SECONDS)
    assert (guardian.returncode, output) == (-signal.SIGKILL, b"")


RUNNER = f"""
import sys, time
from worldswitch.harness.environments.guardian import GuardedProcess
from worldswitch.harness.environments.run_resources import RunResources
run = RunResources.create()
run.guardian = GuardedProcess(["sh", "-c", {DAEMON!r}], run=run.id, keep=[run.lock])
print(run.folder, flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("signo", [signal.SIGKILL, signal.SIGTERM, signal.SIGQUIT])
def test_a_runner_s_death_ends_all_its_processes(signo: signal.Signals) -> None:
    with subprocess.Popen([sys.executable, "-P", "-c", RUNNER], stdout=subprocess.PIPE) as runner:
        assert runner.stdout
        lines = sorted((runner.stdout.readline(), runner.stdout.readline()))  # the folder's begins with a slash
        folder, daemon = Path(os.fsdecode(lines[0].strip())), int(lines[1])
        assert (folder / "lock").exists()
        runner.send_signal(signo)
        runner.wait(SECONDS)
        assert is_gone(daemon)
        deadline = time.monotonic() + SECONDS
        while folder.exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        assert not folder.exists()


def test_run_returns_the_output_or_raises_with_it() -> None:
    assert guardian.run(["sh", "-c", "echo out; echo log >&2"], SECONDS) == "out\nlog\n"
    with pytest.raises(subprocess.CalledProcessError) as caught:
        guardian.run(["sh", "-c", "echo first; echo an error: no disk; echo hint: error; exit 4"], SECONDS)
    assert caught.value.returncode == 4
    assert guardian.error_lines(caught.value) == "an error: no disk"


def test_run_kills_a_command_that_exceeds_its_deadline() -> None:
    with pytest.raises(subprocess.TimeoutExpired):
        guardian.run(["sleep", "600"], 0.2)


# ---------------------------------------------------------------------------------------------------------- sweep


def test_a_sweep_removes_unlocked_runs_only(cache: Path) -> None:
    held, abandoned = RunResources.create(), RunResources.create()
    os.close(abandoned.lock)
    run_resources.sweep()
    assert run_resources.live_runs() == {held.id}
    held.close()
    assert run_resources.live_runs() == set()


def test_a_run_stays_locked_while_its_guardian_lives() -> None:
    run = RunResources.create()
    run.guardian = GuardedProcess(["sleep", "600"], run=run.id, keep=[run.lock])
    os.close(run.lock)
    run_resources.sweep()
    assert run_resources.live_runs() == {run.id}
    run.close()
    assert run_resources.live_runs() == set()


def test_an_engine_s_processes_are_found_by_its_socket_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(run_resources, "SOCKETS", tmp_path / "sockets")
    run = RunResources.create()
    command = [sys.executable, "-c", "import time; print(1, flush=True); time.sleep(600)"]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE) as stranger,
        subprocess.Popen([*command, f"--host=unix://{run.sockets}/docker.sock"], stdout=subprocess.PIPE) as daemon,
    ):
        # Wait for output of both: a starting process briefly has no command line.
        assert first_number(stranger.stdout) == first_number(daemon.stdout) == 1
        os.close(run.lock)
        run_resources.sweep()
        assert is_gone(daemon.pid)
        assert stranger.poll() is None
        stranger.kill()


def test_a_place_id_is_drawn_once(cache: Path) -> None:
    assert place() == place() == (cache / "place").read_text()


def test_a_cache_that_cannot_be_created_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/nowhere")
    with pytest.raises(Unobtainable, match=r"/proc/nowhere/worldswitch cannot be created.*; set XDG_CACHE_HOME"):
        cache_folder()


class BusyClient:
    """An engine's client with two containers of the run, one of which is in use."""

    def __init__(self, *_: object) -> None:
        self.removed: list[str] = []

    def __enter__(self) -> BusyClient:
        return self

    def __exit__(self, *_: object) -> None: ...

    def containers(self, **_: object) -> list[dict[str, str]]:
        return [{"Id": "busy" * 16}, {"Id": "idle" * 16}]

    def remove_container(self, container: str, **_: object) -> None:
        if container.startswith("busy"):
            raise docker.errors.APIError("device or resource busy")


@pytest.fixture
def engine(cache: Path) -> Path:
    """The file with the address of a run's engine."""
    (cache / "runs" / "a-run").mkdir(parents=True)
    file = cache / "runs" / "a-run" / "engine"
    file.write_text("unix:///nowhere/docker.sock")
    return file


@pytest.mark.usefixtures("engine")
def test_a_container_that_cannot_be_removed_is_reported(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(run_resources, "reach", lambda _: None)
    monkeypatch.setattr(bounded, "BoundedClient", BusyClient)
    run_resources.remove_containers("a-run")
    said = capsys.readouterr().err
    assert "containers of run a-run are left in the engine at unix:///nowhere/docker.sock: busybusybusy" in said
    assert "device or resource busy" in said
    assert "idle" not in said


def test_a_silent_engine_is_reported_unless_it_is_private(engine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_resources.remove_containers("a-run")
    assert "all with the label worldswitch.run=a-run: the engine does not answer" in capsys.readouterr().err
    engine.write_text(f"unix://{run_resources.SOCKETS}/a-run/docker.sock")
    run_resources.remove_containers("a-run")
    assert not capsys.readouterr().err


@pytest.mark.usefixtures("engine")
def test_a_bug_in_the_removal_is_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def mistake(*_: object) -> None:
        raise TypeError("a mistake of ours")

    monkeypatch.setattr(run_resources, "reach", lambda _: None)
    monkeypatch.setattr(bounded, "BoundedClient", mistake)
    with pytest.raises(TypeError, match="of ours"):
        run_resources.remove_containers("a-run")
