"""The processes of a failing trial and their states, read from /proc before any is killed.

Unreadable parts are omitted: a process may end at any time, a kernel stack requires a capability, and containers may
hide files.  A read may even block, if a process died while holding its mmap lock, so the supervisor reads in a child
with a deadline.
"""

from __future__ import annotations

import contextlib
import os
import platform
import select
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import msgspec

from worldswitch.harness.cell.diagnosis.model import ProcessSnapshot, ThreadSnapshot
from worldswitch.harness.linux import processes, syscalls

#: The limits: the number of processes, threads in all, mappings and stack frames, and the deadline in seconds.
PROCESSES, THREADS, MAPPINGS, FRAMES, SECONDS = 16, 48, 48, 24, 2.0

#: The other lines of a thread's ``status`` that help to explain its state.
STATUS = (
    *("SigPnd", "ShdPnd", "SigBlk", "SigIgn", "SigCgt"),
    *("Seccomp", "Seccomp_filters", "NoNewPrivs", "CapEff", "Uid", "NSpid"),
)

#: The names of system calls that threads wait in (arch/x86/entry/syscalls/syscall_64.tbl).
_SYSCALLS = """
    0 read 1 write 7 poll 9 mmap 11 munmap 23 select 24 sched_yield 34 pause 35 nanosleep 47 recvmsg 56 clone 57 fork
    58 vfork 59 execve 61 wait4 62 kill 72 fcntl 101 ptrace 128 rt_sigtimedwait 130 rt_sigsuspend 202 futex
    230 clock_nanosleep 231 exit_group 232 epoll_wait 234 tgkill 247 waitid 257 openat 270 pselect6 271 ppoll
    317 seccomp 435 clone3
""".split()
SYSCALLS = dict(zip(map(int, _SYSCALLS[::2]), _SYSCALLS[1::2], strict=True))


def look(below: int) -> tuple[ProcessSnapshot, ...]:
    """Return snapshots of a process and its descendants."""
    return tuple(_processes([below, *processes.descendants(below)]))


def look_from_outside(pids: Iterable[int]) -> tuple[ProcessSnapshot, ...]:
    """Return snapshots of these processes, taken in a child; empty if it does not answer within `SECONDS`."""
    listed = list(pids)
    answer = _from_a_child(lambda: msgspec.json.encode(tuple(_processes(listed))))
    try:
        return msgspec.json.decode(answer, type=tuple[ProcessSnapshot, ...])
    except msgspec.DecodeError:
        return ()


def _from_a_child(work: Callable[[], bytes]) -> bytes:
    reader, writer = os.pipe()
    try:
        pid = processes.fork(lambda: syscalls.write_all(writer, work()))
    except OSError:
        os.close(reader)
        os.close(writer)
        return b""
    os.close(writer)
    try:
        return _read(reader, time.monotonic() + SECONDS)
    finally:
        os.close(reader)
        processes.end(pid, 0.2)


def _read(reader: int, end: float) -> bytes:
    found = b""
    while (left := end - time.monotonic()) > 0 and select.select([reader], [], [], left)[0]:
        data = os.read(reader, 1 << 16)
        if not data:
            return found
        found += data
    return b""


def _processes(pids: list[int]) -> Iterator[ProcessSnapshot]:
    room = THREADS
    for pid in pids[:PROCESSES]:
        folder = Path(f"/proc/{pid}")
        with contextlib.suppress(OSError, ValueError, IndexError):
            tids = sorted(int(entry.name) for entry in (folder / "task").iterdir())
            status = _status(folder)
            maps, more = _maps(folder)
            yield ProcessSnapshot(
                pid=pid,
                parent=int(status.get("PPid", 0)),
                name=status.get("Name", ""),
                threads=tuple(_thread(folder / "task" / str(tid), tid) for tid in tids[:room]),
                maps=maps,
                left_out=", ".join(filter(None, (_more(len(tids) - room, "threads"), more))),
            )
            room = max(0, room - len(tids))


def _more(count: int, what: str) -> str:
    return f"and {count} {what}" if count > 0 else ""


def _thread(folder: Path, tid: int) -> ThreadSnapshot:
    status = _status(folder)
    wchan = _text(folder / "wchan").strip()
    return ThreadSnapshot(
        tid=tid,
        name=status.get("Name", ""),
        state=status.get("State", ""),
        tracer=int(status.get("TracerPid", 0)),
        wchan="" if wchan == "0" else wchan,
        syscall=_syscall(_text(folder / "syscall").split()),
        stack=tuple(line.removeprefix("[<0>] ") for line in _text(folder / "stack").splitlines()[:FRAMES]),
        status={key: status[key] for key in STATUS if key in status},
    )


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def _status(folder: Path) -> dict[str, str]:
    pairs = (line.partition(":") for line in _text(folder / "status").splitlines())
    return {key: " ".join(value.split()) for key, _, value in pairs}


def _syscall(words: list[str]) -> str:
    """``running``, the current system call, or ``none`` with the program counter."""
    if len(words) == 3:
        return f"none, at {words[2]}"  # stopped outside system calls
    if len(words) != 9:
        return " ".join(words)
    number = int(words[0])
    name = SYSCALLS.get(number) if platform.machine() == "x86_64" else None
    return f"{name or f'system call {number}'}({', '.join(words[1:7])})"


def _maps(folder: Path) -> tuple[tuple[str, ...], str]:
    """The mappings, adjacent ones of a file merged, and the number of omitted ones; libraries are omitted."""
    found: list[tuple[str, str, str, int]] = []
    libraries: set[str] = set()
    for line in _text(folder / "maps").splitlines():
        fields = line.split(maxsplit=5)
        begin, _, end = fields[0].partition("-")
        name = fields[5] if len(fields) > 5 else ""
        if ".so" in name:
            libraries.add(name)
        elif found and name.startswith("/") and found[-1][2] == name:
            found[-1] = (found[-1][0], end, name, found[-1][3] + 1)
        else:
            found.append((begin, end, name if name.startswith("/") else f"{fields[1]} {name}".strip(), 1))
    lines = [
        f"{begin}-{end} {name}" + (f" ({count} mappings)" if count > 1 else "") for begin, end, name, count in found
    ]
    more = filter(None, (_more(len(lines) - MAPPINGS, "mappings"), _more(len(libraries), "libraries")))
    return tuple(lines[-MAPPINGS:]), ", ".join(more)
