"""The guest's supervisor, run here on substitutes for the system."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from worldswitch.harness.environments.vm.guest import __main__ as init
from worldswitch.harness.environments.vm.guest import kernel, mounts, serial_link
from worldswitch.harness.environments.vm.guest.serial_link import Message, MessageSender
from worldswitch.harness.environments.vm.guest.supervisor import GuestContext, Supervisor
from worldswitch.harness.linux import processes

RUNTIME = """\
import json, os, sys
word, *rest = sys.argv[1:]
if word == "run":
    bundle = rest[0].removeprefix("--bundle=")
    process = json.load(open(bundle + "/config.json"))["process"]
    os.execvp(process["args"][0], process["args"])
print(word, *rest, file=open(os.environ["CALLS"], "a"))
"""


class Guest:
    """A supervisor with the host's end of its link."""

    def __init__(self, folder: Path) -> None:
        self.sysctls = folder / "sysctls"
        (self.sysctls / "kernel").mkdir(parents=True)
        (self.sysctls / "kernel" / "example").write_text("0\n")
        self.log = ["4 1.000000 before the cell"]
        self.bug: Exception | None = None  #: raised once, after the next cell
        runtime = folder / "runtime.py"
        runtime.write_text(RUNTIME)
        reader, self._writer = os.pipe()
        self._heard, writer = os.pipe()
        around = GuestContext(
            runtime=(sys.executable, str(runtime)),
            bundles=folder / "bundles",
            clear=self._clear,
            renew=lambda: None,
            new_lines=self._new_lines,
            companion=lambda: 4711,
            sysctls=self.sysctls,
        )
        sender = MessageSender(lambda data: os.write(writer, data))
        self._send = MessageSender(lambda data: os.write(self._writer, data)).send
        self._thread = threading.Thread(target=self._serve, args=(Supervisor(sender, around), reader, writer))
        self._thread.start()
        self.messages = serial_link.received(chunks(self._heard))

    def _serve(self, supervisor: Supervisor, reader: int, writer: int) -> None:
        supervisor.serve(serial_link.received(chunks(reader)))
        os.close(reader)
        os.close(writer)

    def _new_lines(self) -> list[str]:
        found, self.log = self.log, []
        return found

    def _clear(self) -> None:
        bug, self.bug = self.bug, None
        if bug:
            raise bug

    def order(self, do: str, **fields: object) -> None:
        self._send({"do": do, **fields})

    def run(self, number: int, script: str, **fields: object) -> None:
        self.order("run", cell=number, command=[sys.executable, "-c", script], **fields)

    def until_end(self) -> list[Message]:
        said: list[Message] = []
        for message in self.messages:
            said.append(message)
            if message["say"] in ("end", "refused"):
                break
        return said

    def close(self) -> None:
        os.close(self._writer)
        self._thread.join(10)
        os.close(self._heard)
        assert not self._thread.is_alive()


def chunks(fd: int) -> Iterator[bytes]:
    while chunk := os.read(fd, 4096):
        yield chunk


def output(messages: list[Message], kind: str = "out") -> bytes:
    return b"".join(serial_link.data(one["data"]) for one in messages if one["say"] == kind)


@pytest.fixture
def guest(tmp_path: Path) -> Iterator[Guest]:
    made = Guest(tmp_path)
    yield made
    made.close()


@pytest.mark.usefixtures("capsys")
def test_an_unforeseen_exception_after_a_cell_costs_that_cell_only(guest: Guest) -> None:
    guest.bug = KeyError("a bug")
    guest.run(1, "pass")
    end = guest.until_end()[-1]
    assert (end["say"], end["cell"], end["reason"]) == ("refused", 1, "internal error: KeyError: 'a bug'")
    guest.run(2, "pass")
    assert guest.until_end()[-1]["status"] == 0


def test_a_cell_s_streams_and_status_are_separate(guest: Guest) -> None:
    guest.run(1, "import sys; print('out'); print('log', file=sys.stderr); sys.exit(3)")
    said = guest.until_end()
    assert output(said) == b"out\n"
    assert output(said, "log") == b"log\n"
    assert (said[-1]["status"], said[-1]["cell"]) == (3, 1)


def test_cells_run_one_after_the_other(guest: Guest) -> None:
    for number in (1, 2, 3):
        guest.run(number, f"print({number})")
    for number in (1, 2, 3):
        assert output(guest.until_end()) == b"%d\n" % number


def test_the_supervisor_survives_a_cell_that_dies_of_a_signal(guest: Guest) -> None:
    guest.run(1, "import os; os.kill(os.getpid(), 9)")
    assert guest.until_end()[-1]["status"] == 128 + 9
    guest.run(2, "print('alive')")
    assert output(guest.until_end()) == b"alive\n"


def test_a_cell_is_killed_on_the_host_s_order(guest: Guest) -> None:
    guest.run(1, "import time; print('up', flush=True); time.sleep(60)")
    assert next(guest.messages)["say"] == "out"
    start = time.monotonic()
    guest.order("kill", cell=1)
    assert guest.until_end()[-1]["status"] == 128 + 9
    assert time.monotonic() - start < 10


def test_a_late_kill_does_not_end_the_next_cell(guest: Guest) -> None:
    guest.run(1, "")
    guest.until_end()
    guest.run(2, "print('alive')")
    guest.order("kill", cell=1)
    assert output(guest.until_end()) == b"alive\n"


def test_a_command_that_cannot_start_is_refused(guest: Guest) -> None:
    guest.order("run", cell=1, command=["/nowhere/at/all"])
    (refusal,) = guest.until_end()
    assert refusal["say"] == "refused"
    assert "/nowhere/at/all" in refusal["reason"]


def test_more_than_a_megabyte_of_output_is_forwarded(guest: Guest) -> None:
    guest.run(1, "import sys; sys.stdout.write('0123456789abcdef' * 100000)")
    assert len(output(guest.until_end())) == 1_600_000


def test_a_cell_has_only_the_kernel_s_log_of_its_time(guest: Guest) -> None:
    guest.run(1, "print('up', flush=True); import time; time.sleep(0.2)")
    next(guest.messages)
    guest.log.append("4 2.000000 in the cell")
    assert guest.until_end()[-1]["kernel"] == ["4 2.000000 in the cell"]


def test_a_sysctl_applies_to_one_cell(guest: Guest) -> None:
    file = guest.sysctls / "kernel" / "example"
    guest.run(1, f"print(open({str(file)!r}).read())", sysctls={"kernel.example": "2"})
    assert output(guest.until_end()).strip() == b"2"
    assert file.read_text().strip() == "0"


def test_an_unknown_sysctl_is_refused(guest: Guest) -> None:
    guest.run(1, "", sysctls={"kernel.nothing": "1"})
    (refusal,) = guest.until_end()
    assert "kernel/nothing" in refusal["reason"]


def test_a_container_is_run_and_removed(guest: Guest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))
    shutil.rmtree(tmp_path / "bundles", ignore_errors=True)
    guest.order("run", cell=4, command=[], configuration={"process": {"args": ["echo", "in a container"]}})
    assert output(guest.until_end()) == b"in a container\n"
    assert (tmp_path / "calls").read_text() == "delete --force cell-4\n"


def test_a_shared_pid_namespace_is_the_companion_s(guest: Guest, tmp_path: Path) -> None:
    namespaces = [{"type": "pid", "path": "/proc/0/ns/pid"}, {"type": "uts"}]
    configuration = {"process": {"args": ["true"]}, "linux": {"namespaces": namespaces}}
    guest.order("run", cell=5, configuration=configuration)
    guest.until_end()
    made = json.loads((tmp_path / "bundles" / "cell-5" / "config.json").read_text())
    assert made["linux"]["namespaces"] == [{"type": "pid", "path": "/proc/4711/ns/pid"}, {"type": "uts"}]


@pytest.fixture
def companion() -> Iterator[int]:
    pid = mounts.new_pid_namespace()
    yield pid
    os.kill(pid, signal.SIGKILL)


@pytest.mark.skipif(os.geteuid() != 0, reason="a new PID namespace needs root")
def test_a_companion_is_the_init_of_its_own_namespace(companion: int) -> None:
    assert Path(f"/proc/{companion}/ns/pid").readlink() != Path("/proc/self/ns/pid").readlink()


@pytest.mark.skipif(os.geteuid() != 0, reason="a new PID namespace needs root")
def test_a_companion_has_no_descriptor_of_the_supervisor(companion: int) -> None:
    descriptors = Path(f"/proc/{companion}/fd")
    assert processes.wait_until(lambda: not list(descriptors.iterdir()), 5.0)


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("nsenter"), reason="needs root and nsenter")
def test_a_companion_reaps_many_at_once(companion: int) -> None:
    script = "for i in $(seq 50); do (sleep 0.2 &); done"
    subprocess.run(["nsenter", f"--target={companion}", "--pid", "sh", "-c", script], check=True, timeout=30)
    assert processes.wait_until(lambda: not processes.descendants(companion), 2.0)


def test_a_companion_that_cannot_start_leaves_one_supervisor() -> None:
    script = """
import os
from worldswitch.harness.linux import syscalls
from worldswitch.harness.environments.vm.guest import mounts
supervisor = os.getpid()
syscalls.drop_capabilities()
try:
    mounts.new_pid_namespace()
except OSError as problem:
    assert os.getpid() == supervisor
    print(problem.strerror, problem.filename, sep=": ")
"""
    said = subprocess.run([sys.executable, "-P", "-c", script], capture_output=True, text=True, timeout=30, check=False)
    assert said.stdout == "Operation not permitted: a new PID namespace\n"


def test_outside_of_a_machine_init_does_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert init.main() == 2
    assert "must have pid 1" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("record", "lines"),
    [
        ("6,339,5140900,-;plain", ["6 5.140900 plain"]),
        ("4,1,20,-;two\nlines\n SUBSYSTEM=acpi", ["4 0.000020 two", "4 0.000020 lines"]),
        ("12,1,0,c;from a user", ["4 0.000000 from a user"]),
    ],
)
def test_records_of_the_kernels_log_are_read(record: str, lines: list[str]) -> None:
    assert kernel.lines(record) == lines
