"""Names the cause of a denied ptrace request."""

from __future__ import annotations

from collections.abc import Iterator

from worldswitch.harness.ptrace_denial import Confinement, cause, checks


def lines(known: Confinement, request: str, error: str = "", *, own_thread: bool = True) -> Iterator[str]:
    """Yield the cause of `error`, an errno's name, then the finding about each possible cause, then the remedy.

    The target is an own child; `own_thread` is false if another thread forked it.
    """
    one = cause(known, request, error, own_thread=own_thread)
    seen = f"{request}: {error or known.errors.get(request) or 'denied'}"
    yield f"{seen}: {one.told if one else 'nothing that can be seen denies it'}"
    yield from (f"  {finding}" for finding in checks(known, request, error, own_thread=own_thread))
    if one and one.remedy:
        yield f"what to do: {one.remedy}"
