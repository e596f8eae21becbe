"""Counts what an operation asks of the kernel: ptrace requests, waits, stops, context switches, bytes.

Counts are the same on every machine.  `known.toml` lists those of the reference, and a test fails if one differs.

The operation runs in a process of its own (`process`), whose threads are traced.  Each repetition is enclosed in
two marks: a system call that nothing else there makes.  A preemption can cost one more wait, so each count is the
minimum over all repetitions.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path

import msgspec

from worldswitch.harness.linux import processes, syscalls

#: Repetitions of each operation while it is counted.
TIMES = 50

SECONDS = 120.0  #: until the counted process is killed, which ends every wait for it

#: arch/x86/entry/syscalls/syscall_64.tbl
WAIT4, OPENAT = 61, 257

# include/uapi/linux/ptrace.h, arch/x86/include/uapi/asm/ptrace-abi.h: bytes that a request copies.
REGISTERS, SIGINFO, WORD = 216, 128, 8
COPIED = {
    2: WORD,  # PTRACE_PEEKDATA
    3: WORD,  # PTRACE_PEEKUSER
    6: WORD,  # PTRACE_POKEUSER
    12: REGISTERS,  # PTRACE_GETREGS
    13: REGISTERS,  # PTRACE_SETREGS
    0x4202: SIGINFO,  # PTRACE_GETSIGINFO
    0x420B: WORD,  # PTRACE_SETSIGMASK
}
GETREGSET, SETREGSET, GET_SYSCALL_INFO = 0x4204, 0x4205, 0x420E
STATUS = 4  #: bytes of a wait status


class Count(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Counts per operation; the fields up to `stops` are exact."""

    ptrace: int  #: ptrace requests
    waits: int  #: wait4 calls, successful or not
    stops: int  #: wait4 calls that reported a stop
    files: int = 0  #: files opened, of /proc
    bytes: int = 0  #: bytes copied between kernel and tracer
    switches: float = 0.0  #: context switches of tracer and stub, measured untraced

    @property
    def exact(self) -> tuple[int, int, int, int]:
        """The fields that a test compares: ptrace requests, waits, stops, files opened."""
        return self.ptrace, self.waits, self.stops, self.files


def known() -> dict[str, Count]:
    """Return the known counts of the reference, by operation."""
    text = resources.files("worldswitch.harness.bench.kernel_calls").joinpath("known.toml").read_bytes()
    return msgspec.toml.decode(text, type=dict[str, Count])


def count(operation: str, name: str = "reference") -> Count:
    """Count an operation of `kernel_calls.process` on the platform `name`.  Raises OSError."""
    module = "worldswitch.harness.bench.kernel_calls.process"
    with _started([sys.executable, "-P", "-m", module, name, operation, str(TIMES)]) as process:
        assert process.stdout is not None
        switches = process.stdout.readline()
        if not switches:
            raise OSError(0, f"{operation}: {process.communicate()[1].decode(errors='replace').strip()}")
        counts = [_summed(calls) for calls in _between_marks(process)]
    return msgspec.structs.replace(_least(counts), switches=float(switches))


def _least(counts: Sequence[Count]) -> Count:
    """The least of each field: a preemption costs a wait, and housekeeping in between opens files."""
    return Count(**{name: min(getattr(count, name) for count in counts) for name in Count.__struct_fields__})


@contextlib.contextmanager
def _started(command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        # Popen.kill() would poll the process first, and so might consume a stop that the tracer waits for.
        deadline = threading.Timer(SECONDS, processes.kill_if, (process.pid, lambda _: process.returncode is None))
        deadline.start()
        try:
            yield process
        finally:
            deadline.cancel()
            process.kill()


@dataclass(slots=True)
class TracedCall:
    """One system call of the process."""

    number: int
    arguments: tuple[int, ...]
    result: int = 0
    moved: int = 0  #: bytes that a request copied by its iovec


@dataclass(slots=True)
class MarkedCalls:
    """Splits the process's calls at the marks."""

    mark: int = field(default_factory=lambda: syscalls.GETPPID[platform.machine()])
    inside: bool = False
    calls: list[TracedCall] = field(default_factory=list)

    def take(self, call: TracedCall) -> list[TracedCall] | None:
        """Add a call; at the second mark of a pair, return the calls in between."""
        if call.number != self.mark:
            if self.inside:
                self.calls.append(call)
            return None
        self.inside = not self.inside
        if self.inside:
            return None
        done, self.calls = self.calls, []
        return done


def _between_marks(process: subprocess.Popen[bytes]) -> Iterator[list[TracedCall]]:
    """Trace every thread of the process; yield the calls of each repetition.  Raises OSError if it was killed."""
    pid, marked = process.pid, MarkedCalls()
    under_way: dict[int, TracedCall | None] = dict.fromkeys(_seized(pid))
    assert process.stdin is not None
    process.stdin.write(b"go\n")
    process.stdin.flush()
    while pid in under_way:
        tid, status = _next_status(list(under_way))
        if not os.WIFSTOPPED(status):
            del under_way[tid]
            continue
        if os.WSTOPSIG(status) == SYSCALL_STOP:
            under_way[tid], ended = _at_stop(tid, under_way[tid])
            if ended and (calls := marked.take(ended)) is not None:
                yield calls
        with contextlib.suppress(ProcessLookupError):  # killed, which the next wait reports
            syscalls.ptrace(PTRACE_SYSCALL, tid)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode < 0:
        raise OSError(0, f"{processes.how_ended(status)}; its deadline is {SECONDS:g} s")


def _seized(pid: int) -> list[int]:
    """Seize every thread of the process, and stop it."""
    tids = sorted(int(task.name) for task in Path(f"/proc/{pid}/task").iterdir())
    for tid in tids:
        syscalls.ptrace(syscalls.PTRACE_SEIZE, tid, 0, syscalls.PTRACE_O_TRACESYSGOOD | syscalls.PTRACE_O_EXITKILL)
        syscalls.ptrace(syscalls.PTRACE_INTERRUPT, tid)
    return tids


def _next_status(tids: list[int]) -> tuple[int, int]:
    """The next stop or end of one of these threads.  A wait for any child could take another child's status."""
    if len(tids) == 1:
        return os.waitpid(tids[0], syscalls.WALL)
    while True:
        for tid in tids:
            found, status = os.waitpid(tid, syscalls.WALL | os.WNOHANG)
            if found:
                return found, status
        os.sched_yield()


SYSCALL_STOP = 0x85  #: SIGTRAP | 0x80, by PTRACE_O_TRACESYSGOOD
PTRACE_SYSCALL = 24


def _at_stop(pid: int, under_way: TracedCall | None) -> tuple[TracedCall | None, TracedCall | None]:
    """Return the call that is entered at this stop, and the one that returns."""
    kind, words = _syscall_info(pid)
    if kind == syscalls.PTRACE_SYSCALL_INFO_ENTRY:
        return TracedCall(words[0], words[1:]), None
    if under_way is not None:
        under_way.result = words[0] - (1 << 64) if words[0] >> 63 else words[0]
        if under_way.number == syscalls.PTRACE["x86_64"] and under_way.arguments[0] in (GETREGSET, SETREGSET):
            under_way.moved = _length_of_iovec(pid, under_way.arguments[3])
    return None, under_way


def _syscall_info(pid: int) -> tuple[int, tuple[int, ...]]:
    """Return PTRACE_GET_SYSCALL_INFO's kind of stop, and its words."""
    buffer = ctypes.create_string_buffer(88)
    syscalls.ptrace(syscalls.PTRACE_GET_SYSCALL_INFO, pid, len(buffer), ctypes.addressof(buffer))
    return buffer.raw[0], struct.unpack_from("=7Q", buffer.raw, 24)


def _length_of_iovec(pid: int, address: int) -> int:
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        memory.seek(address + 8)
        return int(struct.unpack("=Q", memory.read(8))[0])


def _summed(calls: list[TracedCall]) -> Count:
    requests = [call for call in calls if call.number == syscalls.PTRACE["x86_64"]]
    waits = [call for call in calls if call.number == WAIT4]
    stops = [call for call in waits if call.result > 0]
    copied = sum(map(_copied, requests)) + STATUS * len(stops)
    files = sum(call.number == OPENAT for call in calls)
    return Count(ptrace=len(requests), waits=len(waits), stops=len(stops), files=files, bytes=copied)


def _copied(request: TracedCall) -> int:
    kind = request.arguments[0]
    if kind == GET_SYSCALL_INFO:
        return max(min(request.result, request.arguments[2]), 0)
    return COPIED.get(kind, request.moved)
