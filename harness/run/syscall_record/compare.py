"""What a filter must allow, seen and not guessed: the calls of real trials, held against a filter's names."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from worldswitch.harness.catalogue import scenarios as catalogue
from worldswitch.harness.environments.profiles import profile, seccomp_filter
from worldswitch.harness.environments.profiles.containers_data import folder
from worldswitch.harness.environments.protocol import Say
from worldswitch.harness.errors import CouldNotRun
from worldswitch.harness.expectations.outcome import Status
from worldswitch.harness.run.request import select
from worldswitch.harness.run.syscall_record import unotify

#: How much slower trials are whose every call is asked about.
SLOWER = 20.0
PASSED, SOME_FAILED = 0, 1  #: pytest's exit statuses
LINES = 20  #: of what went wrong
#: `--noconftest`: pytest would load `tests/conftest.py` of the current folder.
PLAIN = ("-q", "-p", "no:cacheprovider", "-c", os.devnull, "-W", "ignore", "--noconftest")


@dataclass(frozen=True, slots=True)
class SyscallComparison:
    """What was called, and what a filter says of it."""

    filter: str
    scenarios: int
    by_traced: tuple[str, ...]  #: by stubs, and by what else is traced in a scenario
    by_others: tuple[str, ...]
    unnamed: tuple[str, ...]  #: called, and no rule of the filter speaks of it
    unused: tuple[str, ...]  #: allowed, and not called

    @property
    def status(self) -> Status:
        """Whether the filter speaks of all that was called."""
        return Status.UNEXPECTED if self.unnamed else Status.AS_EXPECTED

    def lines(self) -> Iterator[str]:
        """For people."""
        yield f"{self.scenarios} scenarios make {len({*self.by_traced, *self.by_others})} different system calls"
        yield f"by stubs and others that are traced: {' '.join(self.by_traced)}"
        yield f"by all others: {' '.join(self.by_others)}"
        yield (
            f"{self.filter} speaks of all of them"
            if not self.unnamed
            else (f"{self.filter} does not speak of: {' '.join(self.unnamed)}")
        )
        yield f"it allows, and nobody made here: {' '.join(self.unused)}"


def show(ids: Sequence[str], against: str, *, as_json: bool, say: Say) -> Status:
    """Record, compare and print."""
    try:
        found = compare(ids, against, say)
    except (unotify.Unrecordable, profile.ProfileError) as problem:
        raise CouldNotRun(str(problem)) from problem
    if as_json:
        fields = {name: getattr(found, name) for name in SyscallComparison.__slots__}
        print(json.dumps(fields, indent=2))
    else:
        print("\n".join(found.lines()))
    return found.status


def compare(ids: Sequence[str], against: str, say: Say) -> SyscallComparison:
    """Run scenarios here, each call recorded, and hold them against the filter called `against`, or in that file."""
    path = Path(against) if "/" in against else folder("seccomp") / against
    content = seccomp_filter.load(path)
    scenarios = [one.name for one in select(catalogue.scenarios(), ids, chaos=False) if ids or _is_plain(one)]
    names = unotify.names()
    say(f"recording the calls of {len(scenarios)} scenarios")
    calls = _record(scenarios, say)
    called = _named(calls.all, names)
    spoken_of = {name for rule in content["syscalls"] for name in rule["names"]}
    allowed = {name for rule in content["syscalls"] if rule["action"] == "SCMP_ACT_ALLOW" for name in rule["names"]}
    return SyscallComparison(
        filter=path.name,
        scenarios=len(scenarios),
        by_traced=_named(calls.of_tracees, names),
        by_others=_named(calls.of_others, names),
        unnamed=tuple(name for name in called if name not in spoken_of),
        unused=tuple(sorted(allowed.difference(called))),
    )


def _is_plain(scenario: catalogue.Scenario) -> bool:
    """Whether it is about a platform, and needs nothing that a platform does not need: no namespaces, no root."""
    return scenario.subject == "platform" and not scenario.needs


def _record(scenarios: Iterable[str], say: Say) -> unotify.Calls:
    wanted = [word for name in scenarios for word in ("--id", name)]
    asked = ("--no-chaos", "--repeat", "quick", "--time-scale", f"{SLOWER:g}")
    # By pytest alone: a cell would also look at all that this machine can do.
    command = [sys.executable, "-m", "pytest", *PLAIN, "--pyargs", catalogue.SCENARIOS, *asked, *wanted]
    with tempfile.TemporaryFile() as log:
        calls, status = unotify.record(command, dict(os.environ), log.fileno(), say)
        if status not in (PASSED, SOME_FAILED):  # a trial may well mind that its calls take their time
            log.seek(0)
            said = "\n".join(log.read().decode(errors="replace").splitlines()[-LINES:])
            raise unotify.Unrecordable(f"the cell that was recorded ended with status {status}; it said last:\n{said}")
    return calls


def _named(numbers: Iterable[int], names: dict[int, str]) -> tuple[str, ...]:
    return tuple(sorted(names.get(number, f"call {number}") for number in numbers))
