"""Short-lived tracing threads of this process."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from worldswitch.harness.verdict import in_time
from worldswitch.scenarios.raw_ptrace import BOUND, until

Result = TypeVar("Result")


def in_a_thread(work: Callable[[], Result]) -> Result:
    """Run `work` in a new thread and wait until the kernel has removed the thread; what `work` returns or raises."""
    results: list[Result] = []
    errors: list[BaseException] = []
    tids: list[int] = []

    def run() -> None:
        tids.append(threading.get_native_id())
        try:
            results.append(work())
        except BaseException as error:  # raised again in the calling thread
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(BOUND)
    assert not thread.is_alive(), "a thread's work did not end"
    in_time(until(lambda: not Path(f"/proc/self/task/{tids[0]}").exists()), "a thread did not end")
    if errors:
        raise errors[0]
    return results[0]
