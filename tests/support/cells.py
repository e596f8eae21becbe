"""Run a cell in a process of its own, and find the processes that outlive it."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from paths import PYTHONPATH

from worldswitch.harness.cell import records
from worldswitch.harness.cell.attempts import VARIABLE
from worldswitch.harness.cell.records import Record, Trial
from worldswitch.harness.linux import processes
from worldswitch.harness.results.cell_file import Reached, gather

#: Code to run before a cell: a seccomp filter that denies ptrace(2), as many container engines do.
DENY_PTRACE = """
import ctypes, struct
from worldswitch.harness.linux import syscalls
program = b"".join(struct.pack("=HBBI", *line) for line in (
    (0x20, 0, 0, 0),           # load the system call's number
    (0x15, 0, 1, 101),         # is it ptrace?
    (0x06, 0, 0, 0x00050001),  # SECCOMP_RET_ERRNO, EPERM
    (0x06, 0, 0, 0x7FFF0000),  # SECCOMP_RET_ALLOW
))
buffer = ctypes.create_string_buffer(program)
header = ctypes.create_string_buffer(struct.pack("@HP", 4, ctypes.addressof(buffer)))
syscalls.prctl(syscalls.PR_SET_NO_NEW_PRIVS, 1)
syscalls.prctl(syscalls.PR_SET_SECCOMP, 2, ctypes.addressof(header))
"""


@dataclass(frozen=True)
class Finished:
    status: int
    records: tuple[Record, ...]
    noise: tuple[bytes, ...]
    log: str
    left: tuple[str, ...]  #: descendants of the cell that outlived it
    began: tuple[str, ...] = ()  #: the trials announced as begun

    @property
    def run(self) -> Reached:
        found = gather(self.records, "the stream")
        assert found.footer, self.log
        return found

    @property
    def misses(self) -> list[str]:
        """The planned trials that never ran."""
        reported = {trial.scenario for trial in self.run.trials}
        return [name for name in self.run.header.planned if name not in reported]

    @property
    def trial(self) -> Trial:
        """The only trial."""
        (trial,) = self.run.trials
        return trial

    @property
    def verdicts(self) -> dict[str, str]:
        """The verdicts by function."""
        return {trial.scenario.partition("::")[2]: trial.verdict.value for trial in self.run.trials}


def run(command: list[str], **environment: str) -> tuple[subprocess.CompletedProcess[bytes], tuple[str, ...]]:
    """Run `command`; return its result and the processes that outlive it."""
    # Platforms that hang on purpose must not be excused by the tests that run beside them.
    variables = {**os.environ, "PYTHONPATH": PYTHONPATH, "PYTHONSAFEPATH": "1", VARIABLE: "count", **environment}
    before = processes.descendants(os.getpid()).keys()
    with processes.subreaper():
        finished = subprocess.run(command, capture_output=True, env=variables, timeout=120, cwd="/", check=False)
        after = {pid: process for pid, process in processes.descendants(os.getpid()).items() if pid not in before}
        left = tuple(str(process) for process in after.values() if process.alive)
        processes.kill_all(lambda: {pid: after[pid] for pid in after if Path(f"/proc/{pid}").exists()}, 5)
    return finished, left


def run_cell(*arguments: str, first: str = "", **environment: str) -> Finished:
    """Run a cell with `arguments`, after the Python text `first`."""
    text = f"{first}\nimport sys\nfrom worldswitch.harness.cell.__main__ import main\nsys.exit(main())"
    finished, left = run([sys.executable, "-c", text, "--repeat", "quick", *arguments], **environment)
    noise: list[bytes] = []
    words = list(records.unframe(finished.stdout.splitlines(), noise.append))
    results = tuple(word for word in words if not isinstance(word, records.Began))
    began = tuple(word.scenario for word in words if isinstance(word, records.Began))
    return Finished(finished.returncode, results, tuple(noise), finished.stderr.decode(errors="replace"), left, began)
