"""The denial of a call changes a probe's outcome, in processes that can harm no other."""

from __future__ import annotations

import os
import subprocess
import sys
from errno import EPERM

import pytest

from worldswitch.harness.environments.simulation import bpf, library, record
from worldswitch.harness.environments.simulation.answer import ALLOW, ERRNO
from worldswitch.harness.run.syscall_record import denials

pytestmark = pytest.mark.skipif(library.load() is None, reason="libseccomp is not installed")
root = pytest.mark.skipif(os.geteuid() != 0, reason="PID and mount namespaces need root")


def result(key: str, number: int, *arguments: int) -> int:
    words = bpf.call_words(number, 0xC000_003E, (*arguments, *[0] * (6 - len(arguments))))
    (found,) = bpf.results(denials.program(key, record.REFUSED, "x86_64"), words)
    return found


@pytest.mark.parametrize(
    ("key", "call", "denied"),
    [
        ("getppid", (110,), True),
        ("ptrace:0x4206", (101, 0x4206), True),
        ("ptrace:0x4206", (101, 16), False),
        ("munmap:0x200000", (11, 0x40_0000), True),
        ("munmap:0x200000", (11, 0x7F00_1234_0000), False),
        ("munmap:0x7f0000000000", (11, 0x7F00_1234_0000), True),
        ("mseal", (462,), True),
        ("mseal", (461,), False),
        ("x86/getpid", (39,), False),
    ],
)
def test_only_the_calls_of_the_key_are_denied(key: str, call: tuple[int, ...], denied: bool) -> None:
    assert result(key, *call) == (ERRNO | EPERM if denied else ALLOW)


def test_a_call_of_another_architecture_alone_is_denied() -> None:
    words = bpf.call_words(20, 0x4000_0003, [0] * 6)
    assert bpf.results(denials.program("x86/getpid", record.REFUSED, "x86_64"), words) == {ERRNO | EPERM}


@root
def test_a_denied_call_changes_the_probes_that_make_it() -> None:
    found = denials.effects({"ptrace": ["ptrace:0x4206"], "idle": ["getrandom"], "memfd": ["memfd_create:0x1"]}, 2)
    assert found["ptrace"] == {"": {"": "yes"}, "ptrace:0x4206": dict.fromkeys(record.ANSWERS, "denied")}
    assert found["memfd"]["memfd_create:0x1"] == {"EPERM": "denied", "ENOSYS": "no", "kill": "denied"}
    assert "EPERM" not in found["idle"].get("getrandom", {})


@root
def test_a_process_that_does_not_know_itself_kills_no_other() -> None:
    bystander = subprocess.Popen(["sleep", "60"])
    try:
        found = denials.effects({"ptrace": ["getpid"]}, 1)
        assert found["ptrace"]["getpid"]["kill"] == denials.FAILS
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_denials_are_refused_outside_of_a_pid_namespace() -> None:
    command = [sys.executable, "-m", denials.NAME, "{}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 1
    assert "must be process 1 of a PID namespace of its own" in done.stderr
