"""However it is started, the program runs, or says at once why not; signals always end it."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

WORLDSWITCH = [sys.executable, "-P", "-m", "worldswitch.harness.cli.main"]
RUN = ["run", "--engine", "host", "--id", "IN03", "--repeat", "quick"]
SECONDS = 60  #: far above what a loaded machine takes

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounts need root")


def start(
    prepare: Sequence[str] = (), script: str = "", command: Sequence[str] = ("list",), **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a command of worldswitch by `prepare` in a shell that has run `script`."""
    shell = ["sh", "-c", f'{script}\nexec "$@"', "sh", *prepare, *WORLDSWITCH, *command]
    return subprocess.run(
        shell, env=os.environ | environment, capture_output=True, text=True, timeout=SECONDS, check=False
    )


def first_line(done: subprocess.CompletedProcess[str]) -> str:
    """The first line of standard error, which the whole output must not have as a traceback."""
    assert "Traceback" not in done.stdout + done.stderr
    return done.stderr.partition("\n")[0]


@pytest.mark.parametrize(
    ("prepare", "script"),
    [
        (["env", "--block-signal"], ""),
        (["env", "--ignore-signal"], ""),
        ([], "umask 0777"),
        ([], "ulimit -n 64"),
        ([], "exec <&- >&- 2>&-"),
    ],
    ids=["blocked signals", "ignored signals", "umask", "64 files", "closed streams"],
)
def test_a_run_ends(prepare: list[str], script: str, tmp_path: Path) -> None:
    done = start(prepare, script, [*RUN, "--results", str(tmp_path)])
    assert (done.returncode, first_line(done)) == (0, "")
    assert [*tmp_path.glob("*/run.json")]


@pytest.mark.parametrize(
    ("script", "environment"),
    [
        ("umask 0", {}),
        ("ulimit -s 256", {}),
        ("ulimit -l 0", {}),
        ("", {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}),
        ("", {"PYTHONIOENCODING": "ascii"}),
        ("", {"PYTHONWARNINGS": "error"}),
        ("", {"PYTHONDONTWRITEBYTECODE": "1"}),
        ("", {"NOISE": "\udcff\udcfe"}),
        ("unset HOME", {}),
        ("exec <&-", {}),
        ("exec 2>&-", {}),
    ],
)
def test_a_command_works(script: str, environment: Mapping[str, str]) -> None:
    done = start((), script, **environment)
    assert (done.returncode, first_line(done)) == (0, "")
    assert done.stdout.startswith("scenarios ")


@pytest.mark.parametrize(
    ("script", "environment", "said"),
    [
        ("ulimit -n 20", {}, "this process may open 20 files, and needs 64: ulimit -n 64"),
        ("", {"PYTHONOPTIMIZE": "2"}, "scenarios are assertions, which python -O removes"),
        ('cd "$(mktemp -d)"; rmdir "$PWD"', {}, "the working directory cannot be found"),
        ("exec >/dev/full", {}, "no space is left"),
    ],
)
def test_what_cannot_run_says_so(script: str, environment: Mapping[str, str], said: str) -> None:
    done = start((), script, **environment)
    assert done.returncode == 2
    assert first_line(done).startswith("worldswitch")
    assert said in first_line(done)


def test_a_cache_that_cannot_be_made_is_named() -> None:
    done = start((), "", ["kernels", "fetch", "6.12"], XDG_CACHE_HOME="/proc/none")
    assert (done.returncode, first_line(done)) == (2, "")
    assert "the cache folder /proc/none/worldswitch/packages cannot be created" in done.stdout


@pytest.mark.parametrize("signo", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("option", ["--block-signal", "--ignore-signal"])
def test_signals_end_a_run(option: str, signo: signal.Signals, tmp_path: Path) -> None:
    command = ["env", option, *WORLDSWITCH, "run", "--engine", "host", "--results", str(tmp_path)]
    with started(command) as run:
        assert run.stdout
        run.stdout.readline()
        time.sleep(1)
        run.send_signal(signo)
        assert run.wait(SECONDS) == 2


@contextlib.contextmanager
def started(command: Sequence[str]) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is killed at the end."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.kill()


PRIVATE = ["unshare", "--mount", "--propagation", "private", "sh", "-ec"]


@needs_root
@pytest.mark.parametrize(
    ("prepare", "said"),
    [
        ([*PRIVATE, 'mount -t tmpfs none /proc; exec "$@"', "sh"], "/proc is not mounted"),
        (["unshare", "--pid", "--fork"], "/proc shows the processes of another PID namespace"),
    ],
)
def test_no_trial_runs_where_its_processes_cannot_be_found(prepare: list[str], said: str, tmp_path: Path) -> None:
    done = start(prepare, "", [*RUN, "--results", str(tmp_path)])
    assert done.returncode == 2
    assert said in first_line(done)
    assert "mount -t proc proc /proc" in first_line(done)
    assert not [*tmp_path.iterdir()]


@needs_root
@pytest.mark.parametrize(
    "script",
    [
        "mount -t proc -o subset=pid none /proc",
        "mount -t proc -o hidepid=2 none /proc",
        "umount --lazy --recursive /sys",
        "umount --lazy --recursive /dev/shm",
    ],
)
def test_a_run_needs_only_the_processes_in_proc(script: str, tmp_path: Path) -> None:
    prepare = [*PRIVATE, f'{script}; exec "$@"', "sh"]
    done = start(prepare, "", [*RUN, "--results", str(tmp_path)])
    assert (done.returncode, first_line(done)) == (0, "")


@needs_root
def test_doctor_says_that_proc_is_not_mounted() -> None:
    done = start([*PRIVATE, 'mount -t tmpfs none /proc; exec "$@"', "sh"], "", ["doctor"])
    assert (done.returncode, first_line(done)) == (2, "")
    assert "No: /proc is not mounted" in done.stdout


LOOK = "from worldswitch.harness.cell.probes import emulation; print(emulation.look()); print(emulation.look().lacking)"


def look(*emulator: str) -> list[str]:
    """The probe's words under an emulator."""
    done = subprocess.run(
        [*emulator, sys.executable, "-P", "-c", LOOK], capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


QEMU = "qemu-x86_64-static"
RUNSC = ("runsc", "--platform=ptrace", "--network=none", "--ignore-cgroups", "do")


@pytest.mark.skipif(not shutil.which(QEMU), reason="no qemu-user")
def test_qemu_user_is_an_emulated_kernel_without_ptrace() -> None:
    said, lacking = look(QEMU)
    assert said.startswith("an emulated kernel (qemu-user x86_64), not Linux")
    assert "'PTRACE_SEIZE': 'ENOSYS'" in lacking


@pytest.mark.skipif(not shutil.which(QEMU), reason="no qemu-user")
def test_doctor_runs_under_qemu_user() -> None:
    done = start([QEMU], "", ["doctor"])
    assert (done.returncode, first_line(done)) == (2, "")
    assert "No: ptrace: PTRACE_SEIZE: ENOSYS" in done.stdout
    assert "The kernel is emulated" in done.stdout


@needs_root
@pytest.mark.skipif(not shutil.which("runsc"), reason="no gVisor")
def test_gvisor_is_an_emulated_kernel() -> None:
    said, _ = look(*RUNSC)
    assert said.startswith("an emulated kernel (gVisor), not Linux 4.4.0")
