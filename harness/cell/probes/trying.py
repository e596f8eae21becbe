"""Run one probe in a process of its own and interpret its outcome."""

from __future__ import annotations

import os
from errno import EACCES, EPERM
from signal import SIGSYS

import msgspec

from worldswitch.harness.cell.probes import Absent, Denied, Look
from worldswitch.harness.cell.records import ProbeResult
from worldswitch.harness.cell.supervisor import Ending, supervise
from worldswitch.harness.linux import processes
from worldswitch.harness.linux.ptrace import FAKED

#: The deadline, far above any probe's time; an ability whose probe hangs is useless.
SECONDS = 10.0


def probe(look: Look) -> ProbeResult:
    """Return the result of `look`, run in a child process within `SECONDS`."""
    return _finding(supervise(lambda: msgspec.json.encode(_attempt(look)), SECONDS))


def _attempt(look: Look) -> ProbeResult:
    try:
        return ProbeResult("yes", look())
    except Absent as finding:
        return ProbeResult("no", *map(str, finding.args))
    except Denied as finding:
        return ProbeResult("denied", *map(str, finding.args))
    except FileNotFoundError as error:
        hidden = str(error.filename or "").startswith("/proc/")  # of another kernel than Linux, or not mounted whole
        return ProbeResult("no", f"{error.filename} is not visible here" if hidden else error.strerror or str(error))
    except OSError as error:
        said = f"{error.filename}: {error.strerror}" if error.filename else error.strerror or str(error)
        return ProbeResult("denied" if error.errno in (EPERM, EACCES, FAKED) else "no", said)


def _finding(ending: Ending) -> ProbeResult:
    if ending.late:
        return ProbeResult("no", f"no answer within {SECONDS:g} s")
    if ending.payload is None:
        status = ending.status or 0
        if not os.WIFSIGNALED(status):
            return ProbeResult("no", f"ended without an answer: {ending.output[-200:]}")
        return ProbeResult("denied" if os.WTERMSIG(status) == SIGSYS else "no", processes.how_ended(status))
    return msgspec.json.decode(ending.payload, type=ProbeResult)
