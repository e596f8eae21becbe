"""Finds the ptrace requests that were denied in a trial: in its events, its needed probes, or its messages."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from worldswitch.harness.cell.probes import ptrace
from worldswitch.harness.cell.records import ProbeResult, Trial
from worldswitch.harness.ptrace_denial import Confinement

#: The answers by which policies deny.
DENIALS = ("EPERM", "EACCES")

_ERRNO = {word: name for name in DENIALS for word in (name, os.strerror(getattr(errno, name)))}
_SAID = re.compile("|".join(rf"\b{word}\b" for word in _ERRNO))
_REQUEST = re.compile(r"PTRACE_(?!O_|EVENT_)[A-Z_]*[A-Z]|\battaching to thread\b")


@dataclass(frozen=True, slots=True)
class DeniedRequest:
    """A ptrace request and the name of its errno; `own_thread` is false if another thread forked the target."""

    request: str
    error: str
    own_thread: bool = True


def of(trial: Trial, known: Confinement | None, denied: Mapping[str, ProbeResult]) -> Iterator[DeniedRequest]:
    """Yield each denied request of a trial whose needed probes `denied` were denied."""
    found = [*_of_probes(known, denied)] or [*_of_events(trial, known)] or [*_of_messages(trial)]
    yield from dict.fromkeys(found)


def errno_in(text: str) -> str:
    """Return the name of the first errno in a text by which policies deny, or ""."""
    said = _SAID.search(text)
    return _ERRNO[said[0]] if said else ""


def _of_probes(known: Confinement | None, denied: Mapping[str, ProbeResult]) -> Iterator[DeniedRequest]:
    """The request that a probe names, with the error that was recorded for a child."""
    for name in (name for name in denied if name in ptrace.PROBES):
        named = _REQUEST.search(denied[name].detail)
        request = named[0] if named else "PTRACE_SEIZE"
        errors = {**known.answers, **known.errors} if known else {}
        error = errors.get(request, "")
        yield DeniedRequest(request, errno_in(denied[name].detail) if error in ("", "ESRCH") else error)


def _of_events(trial: Trial, known: Confinement | None) -> Iterator[DeniedRequest]:
    """The requests that failed; EINVAL, EIO and ENOSYS are ordinary answers, unless they were found for nobody too."""
    for event in trial.diagnosis.events if trial.diagnosis else ():
        strange = known is not None and event.result not in ("ESRCH", "0")
        answered = strange and known is not None and known.answers.get(event.request) == event.result
        if event.request != "wait4" and (event.result in DENIALS or answered):
            yield DeniedRequest(event.request, event.result)


def _of_messages(trial: Trial) -> Iterator[DeniedRequest]:
    """The requests in the lines that name an errno."""
    for line in (*trial.reason.splitlines(), *trial.detail.splitlines()):
        for word in _REQUEST.findall(line) if errno_in(line) else ():
            own_thread = word.startswith("PTRACE_")
            yield DeniedRequest(word if own_thread else "PTRACE_SEIZE", errno_in(line), own_thread)
