"""Compares the system calls of real trials with the names in a seccomp filter."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from worldswitch.harness.catalogue import scenarios as catalogue
from worldswitch.harness.environments.profiles import seccomp_filter
from worldswitch.harness.environments.profiles.containers_data import folder
from worldswitch.harness.environments.protocol import Say
from worldswitch.harness.expectations.outcome import Status
from worldswitch.harness.run.request import select
from worldswitch.harness.run.syscall_record import unotify

#: How much slower trials are while every call waits for the recorder.
SLOWER = 20.0
PASSED, SOME_FAILED = 0, 1  #: exit statuses of pytest
LINES = 20  #: of the log in an error
#: `--noconftest`: pytest would load `tests/conftest.py` of the current folder.
PLAIN = ("-q", "-p", "no:cacheprovider", "-c", os.devnull, "-W", "ignore", "--noconftest")


@dataclass(frozen=True, slots=True)
class SyscallComparison:
    """The recorded system calls, compared with a filter."""

    filter: str
    scenarios: int
    by_traced: tuple[str, ...]  #: by stubs and other tracees
    by_others: tuple[str, ...]
    unnamed: tuple[str, ...]  #: called, but in no rule of the filter
    unused: tuple[str, ...]  #: allowed, but not called

    @property
    def status(self) -> Status:
        """`UNEXPECTED` if a recorded call is in no rule of the filter."""
        return Status.UNEXPECTED if self.unnamed else Status.AS_EXPECTED

    def lines(self) -> Iterator[str]:
        """Yield the lines of the report."""
        yield f"{self.scenarios} scenarios make {len({*self.by_traced, *self.by_others})} different system calls"
        yield f"by stubs and other tracees: {' '.join(self.by_traced)}"
        yield f"by other processes: {' '.join(self.by_others)}"
        yield (
            f"{self.filter} does not name: {' '.join(self.unnamed)}"
            if self.unnamed
            else f"{self.filter} names them all"
        )
        yield f"it allows, but none was made here: {' '.join(self.unused)}"


def show(ids: Sequence[str], against: str, *, as_json: bool, say: Say) -> Status:
    """Record, compare and print.  Raises `CouldNotRun`."""
    found = compare(ids, against, say)
    if as_json:
        print(json.dumps(asdict(found), indent=2))
    else:
        print("\n".join(found.lines()))
    return found.status


def compare(ids: Sequence[str], against: str, say: Say) -> SyscallComparison:
    """Run scenarios here, record their calls, and compare them with a filter: a name, or a path with a slash."""
    path = Path(against) if "/" in against else folder("seccomp") / against
    content = seccomp_filter.load(path)
    scenarios = [one.name for one in select(catalogue.scenarios(), ids, chaos=False) if ids or _is_plain(one)]
    names = unotify.names()
    say(f"recording the calls of {len(scenarios)} scenarios")
    calls = _record(scenarios, say)
    called = _named(calls.all, names)
    named = {name for rule in content["syscalls"] for name in rule["names"]}
    allowed = {name for rule in content["syscalls"] if rule["action"] == "SCMP_ACT_ALLOW" for name in rule["names"]}
    return SyscallComparison(
        filter=path.name,
        scenarios=len(scenarios),
        by_traced=_named(calls.of_tracees, names),
        by_others=_named(calls.of_others, names),
        unnamed=tuple(name for name in called if name not in named),
        unused=tuple(sorted(allowed.difference(called))),
    )


def _is_plain(scenario: catalogue.Scenario) -> bool:
    """True if the scenario tests a platform and has no needs of its own, such as namespaces or root."""
    return scenario.subject == "platform" and not scenario.needs


def _record(scenarios: Iterable[str], say: Say) -> unotify.Calls:
    ids = [word for name in scenarios for word in ("--id", name)]
    options = ("--no-chaos", "--repeat", "quick", "--time-scale", f"{SLOWER:g}")
    # By pytest alone: a cell would also run its probes.
    command = [sys.executable, "-m", "pytest", *PLAIN, "--pyargs", catalogue.SCENARIOS, *options, *ids]
    with tempfile.TemporaryFile() as log:
        calls, status = unotify.record(command, dict(os.environ), log.fileno(), say)
        if status not in (PASSED, SOME_FAILED):  # a trial may fail because its calls are slow
            log.seek(0)
            end = "\n".join(log.read().decode(errors="replace").splitlines()[-LINES:])
            raise unotify.Unrecordable(
                f"the recorded scenarios ended with status {status}; the end of their log:\n{end}"
            )
    return calls


def _named(numbers: Iterable[int], names: dict[int, str]) -> tuple[str, ...]:
    return tuple(sorted(names.get(number, f"call {number}") for number in numbers))
