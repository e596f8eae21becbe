"""The existence of tracing threads: bare exits, zombies and recycled ids."""

from __future__ import annotations

import dataclasses
import threading

from worlds import start

from worldswitch.harness.linux.processes import wait_until
from worldswitch.reference.tracing_threads import TracingThread


def both(owner: TracingThread) -> list[bool]:
    return [owner.has_vanished(thoroughly=thoroughly) for thoroughly in (False, True)]


def test_we_are_here() -> None:
    assert both(TracingThread.current()) == [False, False]


def test_a_thread_that_ended_is_gone() -> None:
    found: list[TracingThread] = []
    thread = threading.Thread(target=lambda: found.append(TracingThread.current()))
    thread.start()
    thread.join()
    # Python takes it for ended a moment before the kernel does.
    assert wait_until(lambda: both(found[0]) == [True, True], 10)


def test_a_recycled_id_is_another_thread() -> None:
    over = threading.Event()
    found: list[TracingThread] = []

    def live() -> None:
        found.append(TracingThread.current())
        over.wait(30)

    thread = threading.Thread(target=live)
    thread.start()
    try:
        while not found:
            over.wait(0.001)
        before = dataclasses.replace(found[0], start_time=found[0].start_time - 1)
        assert both(found[0]) == [False, False]
        assert before.has_vanished(thoroughly=True)
    finally:
        over.set()
        thread.join()


#: A thread that makes the system call exit itself, and a thread that watches it.
VANISHING = """
import ctypes
from pathlib import Path
from worldswitch.reference.tracing_threads import TracingThread
vanish = lambda: ctypes.CDLL(None).syscall(60, 0)
found = []
def state(tid):
    try:
        return Path(f"/proc/self/task/{tid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "gone"
def watch(expected):
    while not found or state(found[0].tid) != expected:
        pass
    print(*(found[0].has_vanished(thoroughly=thoroughly) for thoroughly in (False, True)))
    os._exit(0)
def live():
    found.append(TracingThread.current())
    vanish()
"""


def test_a_thread_that_vanished_is_gone() -> None:
    script = start(VANISHING + "threading.Thread(target=live, daemon=True).start()\nwatch('gone')")
    assert script.communicate(timeout=30)[0] == "True True\n"


def test_a_main_thread_that_vanished_is_a_zombie_and_gone() -> None:
    script = start(VANISHING + "threading.Thread(target=watch, args='Z', daemon=True).start()\nlive()")
    assert script.communicate(timeout=30)[0] == "True True\n"
