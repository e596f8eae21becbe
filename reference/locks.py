"""A lock that no exception of a signal handler leaves locked.

``with`` calls `__enter__` by an ordinary call instruction since Python 3.14, and signal handlers may run at the end of
one: after a plain lock is taken, and before the block is entered that releases it.  Here, a handler's exception in
`__enter__` releases the lock.  `__exit__` stays in C: it releases before a handler can run.
"""

from __future__ import annotations

from _thread import RLock


class Lock(RLock):  # type: ignore[misc]  # final in typeshed, and not in CPython
    """A lock for ``with``.  It knows its owner, so a thread that takes it twice does not block."""

    def __enter__(self) -> bool:  # type: ignore[override]  # typeshed: an alias of `acquire`
        try:
            return self.acquire()
        except BaseException:
            if self._is_owned():  # type: ignore[attr-defined]
                self.release()
            raise
