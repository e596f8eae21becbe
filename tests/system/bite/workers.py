"""Tries changes in several processes, which write to one file of results."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from bite import results
from bite.engine import Engine
from bite.mutation import Mutation

from worldswitch.harness.linux import processes, syscalls

Say = Callable[[str], None]


def work(
    engine: Engine,
    changes: Sequence[Mutation],
    marks: dict[str, str],
    path: Path,
    count: int,
    say: Callable[[str], None],
) -> None:
    """Try `changes` in `count` processes; each result is a line in `path`, and said.  Raises `RuntimeError`."""
    parent = os.getpid()
    seen = len(results.lines(path))

    def one(index: int) -> None:
        syscalls.die_with_parent(parent, signal.SIGKILL)
        engine.own_folder()
        for change in changes[index::count]:
            results.append(path, engine.attempt(change, marks[change.file]))

    workers = [processes.fork(lambda index=index: one(index)) for index in range(count)]  # type: ignore[misc]
    try:
        _watch(set(workers), path, seen, len(changes), say)
    finally:
        for pid in workers:
            processes.end(pid)
            engine.remove_folder(pid)


def _watch(pids: set[int], path: Path, seen: int, total: int, say: Say) -> None:
    begin, done = time.monotonic(), 0
    while pids:
        time.sleep(0.3)
        ended = {pid: status for pid in pids if (status := processes.reap(pid)) is not None}
        pids -= ended.keys()
        for found in results.lines(path)[seen + done :]:
            done += 1
            left = (time.monotonic() - begin) / done * (total - done) / 60
            by = f" by {found.by}" if found.by else ""
            say(f"{done}/{total}, {left:.0f} min left: {found.id} {found.fate}{by} ({found.file} {found.operator})")
        if failed := [status for status in ended.values() if status]:
            raise RuntimeError(f"a worker ended with status {failed[0]:#x}")
