"""Run a command under restrictions: ``confined.py errno:101:1:31 -- COMMAND``.

    errno:NUMBER:ERRNO[:ARGUMENT0]   the system call fails with this errno; 0 fakes success
    kill:NUMBER[:ARGUMENT0]          the system call kills its process
    mdwe                             prctl(PR_SET_MDWE), as by systemd's MemoryDenyWriteExecute=

A rule with an argument is about calls whose first argument has these low 32 bits.
"""

from __future__ import annotations

import os
import sys

from worldswitch.harness.linux import ptrace, syscalls

KILL, ERRNO = 0x8000_0000, 0x0005_0000  # SECCOMP_RET_KILL_PROCESS, SECCOMP_RET_ERRNO: include/uapi/linux/seccomp.h
PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN = 65, 1  # include/uapi/linux/prctl.h

Instruction = tuple[int, int, int, int]


def rule(text: str) -> list[Instruction]:
    """The instructions of a rule; what it does not concern runs on behind them."""
    kind, number, *rest = text.split(":")
    action = KILL if kind == "kill" else ERRNO | int(rest.pop(0), 0)
    tests = [(0, int(number, 0)), *((16, int(argument, 0)) for argument in rest)]
    lines: list[Instruction] = []
    for left, (offset, value) in zip(reversed(range(len(tests))), tests, strict=True):
        lines += [(0x20, 0, 0, offset), (0x15, 0, 2 * left + 1, value & 0xFFFF_FFFF)]
    return [*lines, (0x06, 0, 0, action)]


def confine(*restrictions: str) -> None:
    """Restrict this process and its descendants."""
    if "mdwe" in restrictions:
        syscalls.prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN)
    if rules := [line for text in restrictions if text != "mdwe" for line in rule(text)]:
        ptrace.install_filter(*rules)


if __name__ == "__main__":
    end = sys.argv.index("--")
    confine(*sys.argv[1:end])
    os.execvp(sys.argv[end + 1], sys.argv[end + 1 :])
