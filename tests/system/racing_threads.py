"""Threads that trace, switch, interrupt, release and end all at once: a program for ThreadSanitizer to watch.

It is no test by itself: what the C core does wrong here, the sanitizer reports, and then the exit status is not 0.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable

from worlds import Rehearsal

from worldswitch.harness.contract import Context, Died, Options
from worldswitch.harness.flight import Recorder
from worldswitch.scenarios import guests
from worldswitch.scenarios.stage.stage import Stage

SECONDS = 5.0


def main() -> None:
    """Race, then see a stub die, and close everything."""
    rehearsal = Rehearsal()
    stage = Stage(rehearsal)
    space = stage.space(rehearsal.platform(Options(recorder=Recorder())))
    platform = rehearsal.platforms[0]
    contexts: list[Context] = []
    until = time.monotonic() + SECONDS

    def shares_and_releases() -> None:
        guest = stage.guest(guests.getpid_loop, platform=platform, space=space, resident=True)
        contexts.append(guest.context)
        for _ in range(50):
            guest.switch()
        guest.context.pull()
        other = stage.guest(guests.getpid_loop, platform=platform)
        other.syscalls(3)
        other.space.release(wait=len(contexts) % 2 == 0)

    def ends() -> None:
        guest = stage.guest(guests.getpid_loop, platform=platform, space=space)
        thread = threading.Thread(target=guest.syscalls, args=(3,))
        thread.start()
        thread.join()

    def interrupts() -> None:
        for context in contexts[-5:]:
            context.interrupt()
        time.sleep(0.001)

    def repeat(work: Callable[[], None]) -> None:
        while time.monotonic() < until:
            work()

    works = (shares_and_releases, shares_and_releases, ends, interrupts)
    threads = [threading.Thread(target=repeat, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    guest = stage.guest(guests.getpid_loop, platform=platform)
    guest.syscalls(1)
    os.kill(guest.space.stub_process.pid, signal.SIGKILL)  # type: ignore[attr-defined]
    assert isinstance(guest.switch(), Died)
    platform.close()
    print(f"{len(contexts)} contexts raced")


main()
