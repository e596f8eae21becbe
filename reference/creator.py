"""The permanent thread that forks stub processes, traces their leaders, and reaps them.

The kernel ties two things to a thread, not to its process: PDEATHSIG fires when the *thread* that forked ends, and
PTRACE_O_EXITKILL when the thread that traces ends.  Python threads end at any time; this one runs until the platform
is closed.  Seed: the goroutine in newSubprocess that serves `requests`.

A request and the end of the thread need no lock: `post` queues the request and then looks whether the thread has
ended, and the thread says that it has ended and then empties the queue.  Python orders the two, so one of them sees
the other, and a request that comes too late is refused.  A lock would not do: a signal handler that closes the
platform may run in the middle of `post`.
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


class Housekeeper(Protocol):
    """What the creator thread does between requests."""

    def housekeep(self) -> float:
        """Bury the stubs that died and find those whose tracer vanished; returns the seconds until the next call."""

    def end_after(self, failure: BaseException) -> None:
        """The creator thread ends because of `failure`, and the kernel kills every stub when it does."""


class Creator:
    """A thread that runs requests one by one, and housekeeping in between."""

    def __init__(self, housekeeper: Housekeeper) -> None:
        self._requests: queue.SimpleQueue[tuple[Callable[[], Any], Future[Any]] | None] = queue.SimpleQueue()
        self._housekeeper = housekeeper
        #: Why requests are refused: set when the platform is closed, or the thread fails.
        self._refusal: str | None = None
        self._has_ended = False
        self._ready: Future[None] = Future()
        self._thread = threading.Thread(target=self._main, name="worldswitch-creator", daemon=True)
        try:
            self._thread.start()
        except RuntimeError as error:
            raise Unavailable(
                f"starting the platform's own thread failed: {error}",
                "allow this user or control group more threads (ulimit -u, pids.max); if the PID namespace was "
                "unshared, fork first: the kernel refuses a new thread to a process whose children live in another "
                "PID namespace",
            ) from error
        self._ready.result()  # `prepare` makes a few system calls, none of which blocks

    def call(self, function: Callable[[], Result]) -> Result:
        """Run `function` on the thread and wait for its result.  Raises `Released` if the thread has ended.

        There is no deadline: a stub whose control group is frozen does not answer until it is thawed, and a deadline
        would make a death of that.  The thread cannot end without an answer to each request.
        """
        if threading.current_thread() is self._thread:
            return function()
        return self.post(function).result()

    def post(self, function: Callable[[], Result]) -> Future[Result]:
        """Queue `function` for the thread.  Raises `Released`, or the future does, if the thread is to end first."""
        if self._refusal is not None:
            raise Released(self._refusal)
        future: Future[Result] = Future()
        self._requests.put((function, future))
        if self._has_ended:
            self._refuse_queued()
        return future

    def close(self) -> None:
        """Finish the requests queued so far, then end the thread and wait for its end.  Idempotent."""
        self._refusal = self._refusal or "the platform is closed"
        self._requests.put(None)
        if threading.current_thread() is not self._thread:
            self._thread.join()  # no deadline, as in `call`

    def _main(self) -> None:
        try:
            self.prepare()
        except BaseException as error:
            self._ready.set_exception(error)
            return
        self._ready.set_result(None)
        try:
            self._serve_until_closed()
        except BaseException as error:
            self._fail(error)
        finally:
            self._has_ended = True
            self._refuse_queued()

    def _serve_until_closed(self) -> None:
        pause = 0.0
        while self._serve(pause):
            pause = self._housekeeper.housekeep()

    def _fail(self, failure: BaseException) -> None:
        self._refusal = (
            f"the platform's creator thread failed, and its stubs ended with it: {type(failure).__name__}: {failure}; "
            "close this platform and make another"
        )
        self._housekeeper.end_after(failure)

    def _refuse_queued(self) -> None:
        """Refuse what is still queued; any number of threads may do so at once."""
        while True:
            try:
                request = self._requests.get_nowait()
            except queue.Empty:
                return
            if request is not None:
                request[1].set_exception(Released(self._refusal or "the platform is closed"))

    def prepare(self) -> None:
        """Unregister rseq and block all signals, so that forked children inherit no address the kernel writes to.

        Signals sent to the process are left to the other threads.
        """
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
        """Run the next request, waiting at most `pause` seconds for one; returns False when the thread is to end."""
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
