"""Finds what the denial of each call does to a probe, or to the import of the platform: tries it under a filter.

Each try is a process of its own that installs a filter which denies one call; the record has the outcomes that differ
from the one without a filter.

A process whose getpid(2) is denied believes that it is process -1, and a signal to that pid kills every process that
it may signal.  Tries therefore run only as descendants of process 1 of a PID namespace of their own, and mounts stay in
a mount namespace.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack

from worldswitch.harness.cell.probes import trying
from worldswitch.harness.cell.supervisor import supervise
from worldswitch.harness.environments.guardian import GuardedProcess
from worldswitch.harness.environments.simulation import bpf, call_numbers, record
from worldswitch.harness.environments.simulation.answer import ALLOW, ERRNO, KILL_PROCESS
from worldswitch.harness.environments.simulation.bpf import EQUAL, LOAD, RETURN, Instruction
from worldswitch.harness.environments.simulation.call_numbers import NATIVE
from worldswitch.harness.environments.simulation.runtime_rules import Condition, RuntimeRule
from worldswitch.harness.linux import processes, ptrace
from worldswitch.harness.run.syscall_record import marks, parts

SECONDS = 12.0  #: of one try
HANG_SECONDS = 4.0  #: of a probe that a denial makes hang
FAILS = "fails"  #: the outcome of a part that could not report one

NAME = "worldswitch.harness.run.syscall_record.denials"
#: The isolation of a worker; `unshare` makes it process 1 of its PID namespace.
ISOLATED = ("unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--mount-proc")

#: The value of each recorded answer.
VALUES = {record.REFUSED: ERRNO | 1, record.ABSENT: ERRNO | 38, record.KILLED: KILL_PROCESS}
OTHERS = ("SCMP_ARCH_X86", "SCMP_ARCH_X32")


def conditions(key: str) -> tuple[Condition, ...]:
    """Return the conditions of a rule that matches the calls of a key."""
    name, arguments, _ = record.parse(key)
    if name in record.ADDRESSES:
        operator = "SCMP_CMP_LT" if arguments[0] == record.LOW else "SCMP_CMP_GE"
        return (Condition(0, operator, record.LIMIT),)
    return tuple(Condition(index, "SCMP_CMP_EQ", one) for index, one in enumerate(arguments) if one is not None)


def program(key: str, answer: str, machine: str) -> bpf.Program:
    """Return the filter that denies one call."""
    name, _, architecture = record.parse(key)
    if architecture or call_numbers.named(name, NATIVE[machine]) is None:
        return _by_number(name, architecture or NATIVE[machine], VALUES[answer])
    return parts.compiler().program(
        ALLOW, NATIVE[machine], OTHERS, [RuntimeRule(0, name, VALUES[answer], conditions(key))]
    )


def _by_number(name: str, architecture: str, value: int) -> bpf.Program:
    """Return a filter for what a rule of libseccomp cannot say: one architecture alone, or a call that it lacks."""
    number = call_numbers.number(name, architecture)
    assert number is not None, name
    return (
        Instruction(LOAD, 0, 0, 4),
        Instruction(EQUAL, 0, 3, call_numbers.audit(architecture)),
        Instruction(LOAD, 0, 0, 0),
        Instruction(EQUAL, 0, 1, number),
        Instruction(RETURN, 0, 0, value),
        Instruction(RETURN, 0, 0, ALLOW),
    )


def effects(calls: Mapping[str, Sequence[str]], workers: int) -> dict[str, dict[str, dict[str, str]]]:
    """Return the outcome of each part without a filter, as the key "", and the differing ones by key and answer."""
    shares = [list(calls)[number::workers] for number in range(workers)]
    with ExitStack() as stack:
        running = [stack.enter_context(_worker({part: calls[part] for part in share})) for share in shares if share]
        found: dict[str, dict[str, dict[str, str]]] = {}
        for one in running:
            assert one.process.stdout
            found |= json.loads(one.process.stdout.read())
    return found


def _worker(calls: Mapping[str, Sequence[str]]) -> GuardedProcess:
    return GuardedProcess([*ISOLATED, sys.executable, "-m", NAME, json.dumps(calls)], stdout=subprocess.PIPE)


def _part(part: str, keys: Iterable[str]) -> dict[str, dict[str, str]]:
    plain = _try(part, None)
    found = {"": {"": plain}}
    for key in keys:
        if key.startswith("#"):
            continue
        seen = {answer: _try(part, program(key, answer, platform.machine())) for answer in record.ANSWERS}
        if differing := {answer: outcome for answer, outcome in seen.items() if outcome != plain}:
            found[key] = differing
    return found


def _try(part: str, denying: bpf.Program | None) -> str:
    def body() -> bytes:
        if denying:
            ptrace.install_filter(*denying)
        return marks.outcome(part).encode()

    ending = supervise(body, SECONDS)
    return ending.payload.decode() if ending.payload else FAILS


def main() -> None:
    """Print the effects on parts with calls, given as JSON; or run a command under the filter of KEY ANSWER."""
    if os.getpid() != 1:
        raise SystemExit(f"{NAME} kills what it can signal; it must be process 1 of a PID namespace of its own")
    if command := sys.argv[3:]:
        ptrace.install_filter(*program(sys.argv[1], sys.argv[2], platform.machine()))
        os.execvp(command[0], command)
    trying.SECONDS = HANG_SECONDS
    out = os.dup(1)
    os.dup2(2, 1)
    with processes.subreaper():
        made = {part: _part(part, keys) for part, keys in json.loads(sys.argv[1]).items()}
    os.write(out, json.dumps(made).encode())


if __name__ == "__main__":
    main()
