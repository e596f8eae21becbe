"""Threads of this process that trace, and end."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from worldswitch.scenarios.raw_ptrace import BOUND, until

Result = TypeVar("Result")


def in_a_thread(work: Callable[[], Result]) -> Result:
    """What `work` returns or raises in a thread of its own, once the kernel is done with that thread, too."""
    results: list[Result] = []
    errors: list[BaseException] = []
    tids: list[int] = []

    def run() -> None:
        tids.append(threading.get_native_id())
        try:
            results.append(work())
        except BaseException as error:  # raised again where the thread was started
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(BOUND)
    assert not thread.is_alive(), "a thread's work did not end"
    assert until(lambda: not Path(f"/proc/self/task/{tids[0]}").exists()), "a thread did not end"
    if errors:
        raise errors[0]
    return results[0]
