"""The permanent thread that makes stub processes, traces their leaders, and buries them.

It exists because the kernel ties things to threads, not processes: a child's PDEATHSIG fires when the *thread* that
forked it ends, and PTRACE_O_EXITKILL when the thread that traces ends.  Python's threads come and go; this one stays
until the platform is closed.  Seed: the goroutine in newSubprocess that serves `requests`.
"""

from __future__ import annotations

import queue
import signal
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Protocol, TypeVar

from worldswitch.harness.contract import Released, Unavailable
from worldswitch.reference._core import lib

Result = TypeVar("Result")

#: How often idle stubs are looked at, in seconds.  A stub that dies while nobody waits for it tells nobody: its threads
#: are zombies that only a wait finds.
ROUND = 0.1


class Housekeeper(Protocol):
    """What the creator does between requests."""

    def housekeep(self) -> float:
        """Look after the stubs: bury the dead, find those whose tracer vanished.  In how many seconds to come again."""


class Creator:
    """A thread that runs requests one by one, and the housekeeping in between."""

    def __init__(self, housekeeper: Housekeeper) -> None:
        self._requests: queue.SimpleQueue[tuple[Callable[[], Any], Future[Any]] | None] = queue.SimpleQueue()
        self._housekeeper = housekeeper
        self._closing = False
        self._ready: Future[None] = Future()
        self._thread = threading.Thread(target=self._main, name="worldswitch-creator", daemon=True)
        try:
            self._thread.start()
        except RuntimeError as error:
            raise Unavailable(
                f"starting the platform's own thread failed: {error}",
                "allow this user, or this control group, more threads (ulimit -u, pids.max); and where the PID "
                "namespace was unshared, fork first: the kernel gives no thread to a process whose children live in "
                "another one",
            ) from error
        self._ready.result()

    def call(self, function: Callable[[], Result]) -> Result:
        """Run `function` on the thread and wait for its result."""
        if threading.current_thread() is self._thread:
            return function()
        return self.post(function).result()

    def post(self, function: Callable[[], Result]) -> Future[Result]:
        """Have `function` run on the thread."""
        if self._closing:
            raise Released("the platform is closed")
        future: Future[Result] = Future()
        self._requests.put((function, future))
        return future

    def close(self) -> None:
        """End the thread when it has run what was asked before."""
        self._closing = True
        self._requests.put(None)
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _main(self) -> None:
        try:
            self.prepare()
        except BaseException as error:
            self._ready.set_exception(error)
            return
        self._ready.set_result(None)
        pause = ROUND
        while self._serve(pause):
            pause = self._housekeeper.housekeep()

    def prepare(self) -> None:
        """Make this thread one whose children inherit nothing that the kernel would write to their memory for."""
        # A signal for the process is another thread's to handle.
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        length = lib.rseq_unregister()
        if length < 0:
            raise Unavailable(
                f"rseq(RSEQ_FLAG_UNREGISTER) failed with errno {-length}: this C library registers restartable "
                "sequences with a length that worldswitch does not know, and a stub that inherits one is killed on its "
                "first return to user space",
                "start Python with GLIBC_TUNABLES=glibc.pthread.rseq=0",
            )

    def _serve(self, pause: float) -> bool:
        """Run the next request, or wait for none as long as `pause`; False when the thread is to end."""
        try:
            request = self._requests.get(timeout=pause)
        except queue.Empty:
            return True
        if request is None:
            return False
        function, future = request
        try:
            result = function()
        except BaseException as error:
            future.set_exception(error)
        else:
            future.set_result(result)
        return True
