"""Recorded calls belong to the part that the program has marked."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from worldswitch.harness.run.syscall_record import parts, unotify

PROGRAM = """
import os
from worldswitch.harness.linux import ptrace
from worldswitch.harness.run.syscall_record import parts
parts.begin("first")
os.sync()
parts.begin("second")
os.getpriority(os.PRIO_PROCESS, 0)
ptrace.getpid_by_int80()
parts.begin("first")
os.sched_yield()
"""


def test_calls_are_noted_by_part(tmp_path: Path) -> None:
    names = tmp_path / "names"
    names.touch()
    noted = parts.PartCalls(names)
    log = os.open(os.devnull, os.O_WRONLY)
    environment = os.environ | {parts.FILE: str(names)}
    status = unotify.follow([sys.executable, "-c", PROGRAM], environment, log, noted.note, lambda: None)
    os.close(log)
    assert status == 0
    assert {"sync", "sched_yield"} <= set(noted.found["first"])
    assert {"getpriority", "x86/getpid"} <= set(noted.found["second"])
    assert "execve" in noted.found[parts.FIRST]
    assert noted.ranges["getpriority"][0] == [0, 0]


def test_a_program_that_is_not_recorded_marks_nothing() -> None:
    assert parts.FILE not in os.environ
    parts.begin("a part")
